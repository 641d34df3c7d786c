"""A client of the server that is no browser: it sends what it likes, in Streamlit's messages."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.sync.client import ClientConnection, connect

PATIENCE, MOST_BYTES = 120.0, 2**26


@dataclass
class Shown:
    """What a server sent of one run of a page.

    Args:
        page: the hash by which the server calls it.
        widgets: id -> the kind of what may be set, such as ``button``, and what it shows.
        errors: what ended in an error.
        finished: how the run ended.
    """

    page: str = ""
    widgets: dict[str, tuple[str, Any]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)
    finished: int | None = None

    def hear(self, message: ForwardMsg) -> None:
        """Takes one message in."""
        kind = message.WhichOneof("type")
        if kind == "new_session":
            self.page = message.new_session.page_script_hash
        elif kind == "script_finished":
            self.finished = message.script_finished
        elif kind == "delta" and message.delta.WhichOneof("type") == "new_element":
            element = message.delta.new_element
            name = str(element.WhichOneof("type"))
            shown = getattr(element, name)
            if name == "exception":
                self.errors.append(shown.message)
            if "id" in shown.DESCRIPTOR.fields_by_name and shown.id:
                self.widgets[shown.id] = (name, shown)


def pressed(widget: str, kind: str, shown: Any) -> WidgetState | None:
    """Returns the state of a widget that somebody has used, or None of one that only shows."""
    if kind == "button":
        return WidgetState(id=widget, trigger_value=True)
    if kind == "checkbox":
        return WidgetState(id=widget, bool_value=not shown.default)
    if kind in ("text_area", "text_input"):
        return WidgetState(id=widget, string_value="sent by no browser")
    return None


@dataclass(frozen=True)
class Client:
    """A session of a server, as a browser has one.

    Args:
        line: to the server.
    """

    line: ClientConnection

    def ask(self, page: str, query: str = "", states: Iterable[WidgetState] = ()) -> Shown:
        """Has the server run a page, with what widgets are said to hold."""
        message = BackMsg()
        message.rerun_script.page_name = page
        message.rerun_script.query_string = query
        message.rerun_script.widget_states.widgets.extend(states)
        self.line.send(message.SerializeToString())
        shown = Shown()
        while shown.finished is None:
            data = self.line.recv(timeout=PATIENCE)
            assert isinstance(data, bytes)
            shown.hear(ForwardMsg.FromString(data))
        return shown


@contextmanager
def session(address: str) -> Iterator[Client]:
    """Opens a session of a server, ``http://127.0.0.1:PORT``."""
    place = address.replace("http://", "ws://") + "/_stcore/stream"
    own: Any = ["streamlit"]
    with connect(place, origin=address, subprotocols=own, max_size=MOST_BYTES) as line:
        yield Client(line)
