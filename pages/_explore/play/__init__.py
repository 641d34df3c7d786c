"""The picture that is played in the browser: one message of the server, every step drawn there."""
