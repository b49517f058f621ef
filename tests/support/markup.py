"""Read HTML strictly: each element that is opened is closed in order, and what could run or fetch anything is found."""

import base64
from hashlib import sha256
from html.parser import HTMLParser

VOID = {"br", "hr", "img", "input", "link", "meta"}
# Elements and attributes that make a browser fetch something, leave the page, or run code.
ACTIVE = {
    "iframe",
    "object",
    "embed",
    "img",
    "form",
    "base",
    "video",
    "audio",
    "source",
    "use",
    "image",
    "foreignobject",
}
FETCHING = {"src", "srcset", "href", "xlink:href", "action", "data", "poster", "background", "ping"}


class Markup(HTMLParser):
    """HTML, read to its end.

    `text` is all that stands between tags, `elements` all tags with their attributes, `scripts` the text of scripts.
    """

    def __init__(self, html):
        super().__init__(convert_charrefs=True)
        self.text, self.elements, self.scripts, self._open = "", [], [], []
        self.feed(html)
        self.close()
        assert not self._open, f"not closed: {self._open}"
        assert not self.rawdata, f"left over: {self.rawdata:.80}"

    def handle_starttag(self, tag, attributes):
        """Remember a tag."""
        names = [name for name, _ in attributes]
        assert len(names) == len(set(names)), f"<{tag}> has an attribute twice: {names}"
        self.elements.append((tag, dict(attributes)))
        if tag not in VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag, attributes):
        """Remember an empty element, which only SVG has."""
        self.handle_starttag(tag, attributes)
        self.handle_endtag(tag)

    def handle_endtag(self, tag):
        """Close the innermost element, which must be that one."""
        assert self._open, f"</{tag}> closes nothing"
        assert self._open[-1] == tag, f"</{tag}> closes <{self._open[-1]}>"
        self._open.pop()

    def handle_data(self, data):
        """Remember text."""
        if self._open and self._open[-1] == "script":
            self.scripts.append(data)
        elif not self._open or self._open[-1] != "style":
            self.text += data

    def tags(self):
        """Return the names of all elements."""
        return [tag for tag, _ in self.elements]


def read_safely(html, scripts=()):
    """Read HTML that may hold these scripts and no others, runs no other code and fetches nothing."""
    found = Markup(html)
    assert list(scripts) == found.scripts
    for tag, attributes in found.elements:
        assert tag not in ACTIVE, tag
        for name, value in attributes.items():
            assert not name.startswith("on"), (tag, name)
            if name in FETCHING:
                assert value == "data:," or value.startswith("#"), (tag, name, value)
            assert "url(" not in (value or "") or name == "data-map"
            assert "javascript:" not in (value or "").lower() or name == "data-map"
    return found


def policy_of(script):
    """Return what a page's policy says of its script."""
    return f"'sha256-{base64.b64encode(sha256(script.encode()).digest()).decode()}'"
