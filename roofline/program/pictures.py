"""What a request shows a network that sees: the sequences that its tower reads, and the tokens that they become."""

from __future__ import annotations

from roofline.classes import frozen
from roofline.number import Number


@frozen
class Pictures:
    """Images, or a video, of one request.

    sequences: what the tower reads one by one: images, tiles of them, instants of a video. patches: tokens of each, a
    class token included. tokens: what all of them are to the decoder, line breaks and separators included.
    window: the mean number of patches that one sees in a layer of windows; all where there are none.
    """

    sequences: int
    patches: int
    tokens: int
    window: Number
