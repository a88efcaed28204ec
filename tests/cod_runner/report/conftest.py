"""Figures as a user sees them; a page as a parser sees it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from html.parser import HTMLParser
from typing import Any

import pytest

VOID = {"meta", "br", "img", "input", "hr", "link"}


@dataclass
class Element:
    tag: str
    attributes: dict[str, str]
    parent: Element | None = None
    children: list[Element | str] = field(default_factory=list)

    @property
    def text(self) -> str:
        return "".join(child if isinstance(child, str) else child.text for child in self.children)

    @property
    def above(self) -> Iterator[Element]:
        if self.parent is not None:
            yield self.parent
            yield from self.parent.above

    def all(self, *tags: str, **attributes: str) -> list[Element]:
        """Those inside with one of these tags and with these attributes, in the order of the page."""
        found = []
        for child in self.children:
            if isinstance(child, Element):
                wanted = attributes.items() <= child.attributes.items()
                found += [child] if wanted and (not tags or child.tag in tags) else []
                found += child.all(*tags, **attributes)
        return found


class Parser(HTMLParser):
    """Builds the tree; fails where a tag is closed that is not open, or left open."""

    def __init__(self) -> None:
        super().__init__()
        self.root = self.open = Element("page", {})

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert len({name for name, _ in attrs}) == len(attrs), f"an attribute of {tag} is there twice"
        element = Element(tag, {name: value or "" for name, value in attrs}, self.open)
        self.open.children.append(element)
        if tag not in VOID:
            self.open = element

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.tag == tag, f"</{tag}> where {self.open.tag} is open"
        assert self.open.parent is not None
        self.open = self.open.parent

    def handle_data(self, data: str) -> None:
        self.open.children.append(data)

    def unknown_decl(self, data: str) -> Any:
        raise AssertionError(f"<![{data}")

    def handle_comment(self, data: str) -> None:
        raise AssertionError(f"<!--{data}-->")


@pytest.fixture
def parsed() -> Callable[[str], Element]:
    def parse(html: str) -> Element:
        parser = Parser()
        parser.feed(html)
        parser.close()
        assert parser.open is parser.root, f"{parser.open.tag} is left open"
        return parser.root

    return parse


@pytest.fixture(autouse=True)
def figures_as_a_user_sees_them(rendered_figures: None) -> None:
    """Rendered, in all tests of this folder."""
