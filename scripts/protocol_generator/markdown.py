"""The tables of the documents in docs/spec."""

import re


def number(value):
    return f"{value:,}"


def quantity(value, unit):
    """A limit's value as people write it: 64 KiB, 30 s."""
    if unit == "bytes":
        for size, name in ((1 << 30, "GiB"), (1 << 20, "MiB"), (1 << 10, "KiB")):
            if value and value % size == 0:
                return f"{value // size} {name}"
        return f"{number(value)} B"
    if unit == "ms":
        for size, name in ((3600000, "h"), (60000, "min"), (1000, "s")):
            if value and value % size == 0:
                return f"{value // size} {name}"
        return f"{value} ms"
    suffix = {"per_second": "/s", "percent": " %", "ratio": ":1"}.get(unit, "")
    return number(value) + suffix


def markdown(head, rows):
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    lines += ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows]
    return "\n".join(lines)


def frames_table(table):
    senders = {
        "dialer": "dialer",
        "acceptor": "acceptor",
        "any": "either side",
        "opener": "opener",
        "peer": "peer",
        "both": "opener, peer",
    }

    def stream(f):
        if f["stream"] in ("zero", "any"):
            return "0" if f["stream"] == "zero" else "0 or any"
        if f["stream"] == "new":
            return "new"
        return "any" if len(f["kinds"]) == len(table["kind"]) else ", ".join(
            f"`{kind}`" for kind in f["kinds"]
        )

    def payload(f):
        low, high = f["payload"]
        if low == high:
            return number(low)
        return f"{number(low)} or more" if high < 0 else f"{number(low)} to {number(high)}"

    return markdown(
        ["Type", "Name", "From", "Stream", "Body after the metadata", "Its bytes", "Credit",
         "Metadata", "MORE", "Correlation id", "Answer"],
        [
            (
                f"0x{f['value']:02X}",
                f["name"].upper(),
                senders[f["from"]],
                stream(f),
                f["body"],
                payload(f),
                {"none": "-", "connection": "connection", "stream": "stream, connection"}[
                    f.get("credit", "none")
                ],
                "yes" if f.get("metadata") else "-",
                "yes" if f.get("more") else "-",
                {"none": "0", "required": "not 0", "optional": "any"}[f.get("correlation", "none")],
                f.get("answer", ""),
            )
            for f in table["frame"]
        ],
    )


def frame_ranges_table(table):
    return markdown(
        ["Types", "Meaning"],
        [(f"0x{r['first']:02X}-0x{r['last']:02X}", r["meaning"]) for r in table["frame_range"]],
    )


def metadata_table(table):
    def frames(m):
        return "all with metadata" if m["frames"] == "*" else ", ".join(
            name.upper() for name in m["frames"]
        )

    return markdown(
        ["Key", "Name", "Value", "Bytes", "Frames"],
        [
            (
                f"0x{m['value']:02X}",
                m["name"].upper(),
                m["doc"],
                number(m["bytes"][0])
                if m["bytes"][0] == m["bytes"][1]
                else f"{number(m['bytes'][0])} to {number(m['bytes'][1])}",
                frames(m),
            )
            for m in table["metadata"]
        ],
    )


def metadata_ranges_table(table):
    return markdown(
        ["Keys", "Range", "Who does not know the key"],
        [
            (
                f"0x{r['first']:02X}"
                + ("" if r["first"] == r["last"] else f"-0x{r['last']:02X}"),
                r["name"],
                r["unknown"],
            )
            for r in table["metadata_range"]
        ],
    )


def codes_table(table):
    return markdown(
        ["Code", "Name", "Caller sees", "Meaning"],
        [
            (
                c["value"],
                f"`{c['name']}`",
                c["status"].upper() + (", outcome 0" if c.get("not_executed") else ""),
                c["doc"],
            )
            for c in table["code"]
        ],
    )


def simple_table(key, head):
    def build(table):
        return markdown(
            head,
            [(row.get("value", row.get("bit")), f"`{row['name']}`", row["doc"])
             for row in table[key]],
        )

    return build


def kinds_table(table):
    rows = []
    for kind in table["kind"]:
        rows.append((kind["value"], f"`{kind['name']}`", "", kind["doc"]))
        for option in table["stream_option"]:
            if kind["name"] in option["kinds"]:
                rows.append(("", "", f"{option['value']} {option['name'].upper()}", option["doc"]))
    return markdown(["Kind", "Name", "Option", "Meaning"], rows)


def classes_table(table):
    return markdown(
        ["Class", "Name", "Share", "For"],
        [
            (c["value"], f"`{c['name']}`", f"{c['weight']} %" if "weight" in c else "first",
             c["doc"])
            for c in table["class"]
        ],
    )


def hello_options_table(table):
    limits = {limit["name"]: limit for limit in table["limit"]}

    def default(h):
        if "limit" in h:
            limit = limits[h["limit"]]
            return quantity(limit["default"], limit["unit"])
        return h["default"]

    return markdown(
        ["Id", "Name", "In", "Bytes", "If absent", "Value"],
        [
            (
                f"0x{h['value']:04X}",
                h["name"].upper(),
                ", ".join(name.upper() for name in h["in"]),
                h["bytes"][0] if h["bytes"][0] == h["bytes"][1]
                else f"{h['bytes'][0]} to {number(h['bytes'][1])}",
                default(h),
                h["doc"],
            )
            for h in table["hello_option"]
        ],
    )


def limits_table(table):
    def cell(limit, key):
        return quantity(limit[key], limit["unit"]) if key in limit else ""

    return markdown(
        ["Limit", "Default", "Least", "Most", "Over it", "What"],
        [
            (
                f"`{limit['name']}`",
                cell(limit, "default")
                if "default" in limit
                else cell(limit, "fixed") + ("" if limit.get("configurable") else ", fixed"),
                cell(limit, "min"),
                cell(limit, "max"),
                limit["over"] or "-",
                limit["doc"],
            )
            for limit in table["limit"]
        ],
    )


def statuses_table(table):
    return markdown(
        ["Code", "Name"],
        [(value, s["name"].upper()) for value, s in enumerate(table["status"])],
    )


TABLES = {
    "frames": frames_table,
    "frame ranges": frame_ranges_table,
    "metadata": metadata_table,
    "metadata ranges": metadata_ranges_table,
    "codes": codes_table,
    "statuses": statuses_table,
    "outcomes": simple_table("outcome", ["Outcome", "Name", "Meaning"]),
    "features": simple_table("feature", ["Bit", "Name", "Meaning"]),
    "kinds": kinds_table,
    "classes": classes_table,
    "hello options": hello_options_table,
    "limits": limits_table,
}
MARKER = re.compile(r"(<!-- table: ([a-z ]+) -->\n).*?(<!-- end table -->)", re.DOTALL)


def with_tables(text, table):
    """The document with every marked table written anew."""
    return MARKER.sub(
        lambda m: f"{m.group(1)}{TABLES[m.group(2)](table)}\n{m.group(3)}", text
    )
