"""Guide: six steps from the average to an exact fit, then every ingredient of the space."""

import streamlit as st

from pages._shared import front_door

front_door.enter()

from pages._guide import can_and_cannot, ingredients, six_steps, taxonomy
from pages._shared import address, palette

address.begin("guide")

ingredients.take_over()
st.html(f"<style>{palette.STYLE}</style>")
st.header("Guide", anchor=False)
for sentence in address.problems():
    st.text(sentence)
six_steps.show()
can_and_cannot.show()
taxonomy.show()
ingredients.show()
address.tell()
