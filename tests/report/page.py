"""What a reader of the page sees: its text, its tables, its tags."""

from html.parser import HTMLParser


class Page(HTMLParser):
    """Text of the page, its tables as rows of cell texts, and the tags and attributes that it uses."""

    def __init__(self, source: str) -> None:
        super().__init__()
        self.texts: list[str] = []
        self.rows: list[list[str]] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.cell: list[str] | None = None
        self.feed(source)

    def handle_starttag(self, tag, attributes):
        self.tags.append((tag, dict(attributes)))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.cell = []
        if tag == "br":
            self.handle_data(" ")

    def handle_endtag(self, tag):
        if tag in ("td", "th") and self.cell is not None:
            self.rows[-1].append(" ".join("".join(self.cell).split()))
            self.cell = None

    def handle_data(self, data):
        self.texts.append(data)
        if self.cell is not None:
            self.cell.append(data)

    @property
    def text(self) -> str:
        return " ".join("".join(self.texts).split())

    def row(self, first: str) -> list[str]:
        return next(row for row in self.rows if row and row[0] == first)

    def headings(self) -> list[str]:
        return [row[0] for row in self.rows if row]
