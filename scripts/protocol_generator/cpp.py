"""The headers with the numbers of docs/spec/protocol.toml."""

UNITS = {
    "bytes": "Bytes",
    "count": "",
    "ms": "",
    "per_second": "PerSecond",
    "percent": "Percent",
    "ratio": "Ratio",
}
U32_MAX = 0xFFFFFFFF


def camel(name):
    return "".join(word.capitalize() for word in name.split("_"))


def plain(text):
    """Text of a C++ comment: the table's Markdown without its back-quotes."""
    return text.replace("`", "")


class Writer:
    def __init__(self):
        self.lines = []

    def __call__(self, *lines):
        self.lines.extend(lines)

    def comment(self, text, indent=""):
        """Wraps `text` into // lines of at most 100 columns."""
        self.wrap(text.split(), indent + "// ")

    def wrap(self, words, start):
        """Puts words into lines of at most 100 columns, each beginning with `start`."""
        line = start + words[0]
        for word in words[1:]:
            if len(line) + 1 + len(word) > 100:
                self(line)
                line = start + word
            else:
                line += " " + word
        self(line)

    def text(self):
        return "\n".join(self.lines) + "\n"


def write_enum(out, name, base, doc, rows):
    """One enum class; rows are (name, value as text, comment)."""
    out.comment(doc)
    out(f"enum class {name} : std::{base} {{")
    for row, value, comment in rows:
        if comment:
            out.comment(comment, "  ")
        out(f"  {row} = {value},")
    out("};", "")


def write_to_string(out, enum, rows):
    out.comment(
        f"The one word for a {enum} in frames, logs and metrics; \"unknown\" for a value that has none."
    )
    out(f"[[nodiscard]] constexpr std::string_view to_string({enum} value) {{", "  switch (value) {")
    for row in rows:
        out(f'    case {enum}::{row}: return "{row}";')
    out("  }", '  return "unknown";', "}", "")


# C++ enum: base type, table of its rows, format of its values, what it is.
ENUMS = (
    ("FrameType", "uint8_t", "frame", "0x{:02X}",
     "Frame types: docs/spec/framing.md. Types 0xC0-0xFF are ignorable and have no name."),
    ("CloseCode", "uint16_t", "code", "{}",
     "Why a session or a stream ended, as GOAWAY and RESET carry it: docs/spec/errors.md."),
    ("StatusCode", "uint8_t", "status", "{}",
     "Result of a call, numbered as gRPC does: docs/spec/calls.md."),
    ("Outcome", "uint8_t", "outcome", "{}",
     "Whether the service ran the request of a failed call: docs/spec/calls.md."),
    ("QosClass", "uint8_t", "class", "{}",
     "Class of a stream, the top 3 bits of the qos byte: docs/spec/scheduling.md."),
    ("StreamKind", "uint8_t", "kind", "{}", "What a stream carries: docs/spec/streams.md."),
    ("MetadataKey", "uint8_t", "metadata", "0x{:02X}",
     "Metadata keys with a meaning: docs/spec/metadata.md."),
    ("HelloOption", "uint16_t", "hello_option", "0x{:04X}",
     "Options of HELLO and HELLO_ACK: docs/spec/session.md."),
    ("Feature", "uint8_t", "feature", "{}",
     "Bits of HelloOption::features: docs/spec/session.md."),
)


def row_comment(row):
    """Comment of an enumerator: frames say what their body is, statuses nothing."""
    if "body" in row:
        return f"Body: {plain(row['body'])}."
    return camel_sentence(row["doc"]) if "doc" in row else ""


def write_enums(out, table):
    for name, base, key, style, doc in ENUMS:
        rows = [
            (row["name"], style.format(row.get("value", row.get("bit", index))), row_comment(row))
            for index, row in enumerate(table[key])
        ]
        write_enum(out, name, base, doc, rows)
    for name, _, key, _, _ in ENUMS:
        write_to_string(out, name, [row["name"] for row in table[key]])


def camel_sentence(text):
    text = plain(text)
    return text[0].upper() + text[1:] + "."


def write_codes(out, table):
    out.comment(
        "Status the caller of a call sees when its stream or session ended with `code`. Codes of a"
        " later version count as unavailable."
    )
    out("[[nodiscard]] constexpr StatusCode caller_status(CloseCode code) {", "  switch (code) {")
    by_status = {}
    for code in table["code"]:
        by_status.setdefault(code["status"], []).append(code["name"])
    for status, names in by_status.items():
        if status == "unavailable":
            continue
        for name in names:
            out(f"    case CloseCode::{name}:")
        out(f"      return StatusCode::{status};")
    out("    default:", "      return StatusCode::unavailable;", "  }", "}", "")
    out.comment(
        "Whether `code` by itself proves that no request of the stream ran. For all others the last"
        " correlation id of RESET and the last stream id of GOAWAY decide: docs/spec/calls.md."
    )
    out("[[nodiscard]] constexpr bool proves_not_executed(CloseCode code) {")
    names = [c["name"] for c in table["code"] if c.get("not_executed")]
    test = " || ".join(f"code == CloseCode::{name}" for name in names)
    out(f"  return {test};", "}", "")


def write_limits(out, table):
    for limit in table["limit"]:
        name = "k" + camel(limit["name"]) + UNITS[limit["unit"]]
        bounds = [key for key in ("default", "min", "max") if key in limit]
        rows = [(name, limit["fixed"])] if "fixed" in limit else [
            (name + key.capitalize(), limit[key]) for key in bounds
        ]
        over = f" Over it: {plain(limit['over'])}." if limit["over"] else ""
        out.comment(camel_sentence(limit["doc"]) + over)
        for row, value in rows:
            if limit["unit"] == "ms":
                out(f"inline constexpr Duration {row} = std::chrono::milliseconds({value});")
            else:
                out(f"inline constexpr std::uint32_t {row} = {value};")
        out("")


def frame_properties(table, f):
    """The fields of FrameProperties, in the order of their declaration."""
    kinds = {k["name"]: k["value"] for k in table["kind"]}
    credit = f.get("credit", "none")
    correlation = f.get("correlation", "none")
    low, high = f["payload"]
    sender = f["from"]
    illegal = 0xFF
    if f.get("more"):
        illegal &= ~table["flag"][0]["value"]
    return {
        "payload_min": low,
        "payload_max": U32_MAX if high < 0 else high,
        "metadata_max": 65535 if f.get("metadata") else 0,
        "flags_illegal": illegal,
        "qos_max": 0 if credit == "none" else len(table["class"]) * 32 - 1,
        "known": True,
        "ignorable": False,
        "control": credit == "none",
        "stream_credit": credit == "stream",
        "stream_zero": f["stream"] in ("zero", "any"),
        "stream_nonzero": f["stream"] != "zero",
        "correlation_zero": correlation != "required",
        "correlation_nonzero": correlation != "none",
        "more": f.get("more", False),
        "from_dialer": sender in ("dialer", "any"),
        "from_acceptor": sender in ("acceptor", "any"),
        "from_opener": sender in ("opener", "both", "any"),
        "from_peer": sender in ("peer", "both", "any"),
        "kinds": sum(1 << kinds[k] for k in f.get("kinds", [])),
        "needs_feature": "feature" in f,
    }


def write_frame_table(out, table):
    out.comment(
        "What the header alone must satisfy for a frame type, one entry of kFrameProperties. The"
        " maxima are compared with the field as it stands, so that one comparison is one check."
    )
    out(
        "struct alignas(32) FrameProperties {",
        "  // Exact bounds of body length minus metadata length, bytes.",
        "  std::uint32_t payload_min = 0;",
        "  std::uint32_t payload_max = 0;",
        "  // 0 when the type has no metadata, else 65535; the 16 KiB limit is the stream's affair.",
        "  std::uint16_t metadata_max = 0;",
        "  // Flags that are errors in this type.",
        "  std::uint8_t flags_illegal = 0;",
        "  // 0 in control frames, else the highest qos byte of the last class.",
        "  std::uint8_t qos_max = 0;",
        "  // The number is one this version knows.",
        "  bool known = false;",
        "  // 0xC0-0xFF: skipped after magic, version and body length.",
        "  bool ignorable = false;",
        "  // Costs no credit, has qos 0 and goes before everything that costs credit.",
        "  bool control = false;",
        "  // Costs credit of its stream, besides that of the connection.",
        "  bool stream_credit = false;",
        "  // Stream id 0 is legal; another stream id is legal.",
        "  bool stream_zero = false;",
        "  bool stream_nonzero = false;",
        "  // Correlation id 0 is legal; another correlation id is legal.",
        "  bool correlation_zero = false;",
        "  bool correlation_nonzero = false;",
        "  // MORE is legal.",
        "  bool more = false;",
        "  // Who may send it: the dialer or the acceptor on stream 0; the opener or its peer of a",
        "  // stream.",
        "  bool from_dialer = false;",
        "  bool from_acceptor = false;",
        "  bool from_opener = false;",
        "  bool from_peer = false;",
        "  // Bit (1 << StreamKind) for each kind of stream it may appear on.",
        "  std::uint8_t kinds = 0;",
        "  // Illegal unless the feature of that name was negotiated.",
        "  bool needs_feature = false;",
        "};",
        "",
    )
    out("// Properties by type byte. Unknown types below 0xC0 have known == false.")
    out("inline constexpr std::array<FrameProperties, 256> kFrameProperties = [] {")
    out("  std::array<FrameProperties, 256> all{};")
    out("  for (auto& unknown : all) unknown.flags_illegal = 0xFF;")
    ignorable = table["frame_range"][0]
    out(
        f"  for (std::size_t type = 0x{ignorable['first']:02X};"
        f" type <= 0x{ignorable['last']:02X}; ++type) {{"
    )
    out("    all[type].ignorable = true;", "    all[type].control = true;", "  }")
    out("  const auto at = [&all](FrameType type) -> FrameProperties& {")
    out("    return all[static_cast<std::uint8_t>(type)];", "  };")
    for f in table["frame"]:
        fields = frame_properties(table, f)
        out(f"  at(FrameType::{f['name']}) = {{")
        out.wrap(
            [
                f".{name} = {str(value).lower() if value is True else value},"
                for name, value in fields.items()
                if value or name.startswith("payload")
            ],
            "      ",
        )
        out("  };")
    out("  return all;", "}();", "")


def write_metadata_table(out, table):
    out.comment(
        "What an entry of a known metadata key must satisfy, one entry of kMetadataProperties."
        " The other fields mean nothing where known is false."
    )
    out(
        "struct MetadataProperties {",
        "  // Bounds of the value, bytes.",
        "  std::uint16_t value_min;",
        "  std::uint16_t value_max;",
        "  // Bit i: legal in the i-th frame type of kMetadataFrames.",
        "  std::uint16_t frames;",
        "  // The key is one this version knows.",
        "  bool known;",
        "};",
        "",
    )
    carriers = [f["name"] for f in table["frame"] if f.get("metadata")]
    out("// Frame types that may carry metadata.")
    out(f"inline constexpr std::array<FrameType, {len(carriers)}> kMetadataFrames = {{")
    out(*[f"    FrameType::{name}," for name in carriers], "};", "")
    out("// Bit of a frame type in MetadataProperties::frames; 0 where it carries no metadata.")
    out("inline constexpr std::array<std::uint16_t, 256> kMetadataFrameBits = [] {")
    out("  std::array<std::uint16_t, 256> all{};")
    out("  for (std::size_t i = 0; i < kMetadataFrames.size(); ++i) {")
    out("    all[static_cast<std::uint8_t>(kMetadataFrames[i])] =")
    out("        static_cast<std::uint16_t>(1u << i);", "  }", "  return all;", "}();", "")
    out("// Properties by key byte.")
    out("inline constexpr std::array<MetadataProperties, 256> kMetadataProperties = [] {")
    out("  std::array<MetadataProperties, 256> all{};")
    out("  const auto at = [&all](MetadataKey key) -> MetadataProperties& {")
    out("    return all[static_cast<std::uint8_t>(key)];", "  };")
    for m in table["metadata"]:
        names = carriers if m["frames"] == "*" else m["frames"]
        bits = sum(1 << carriers.index(name) for name in names)
        low, high = m["bytes"]
        out(f"  at(MetadataKey::{m['name']}) = {{{low}, {high}, 0x{bits:04X}, true}};")
    out("  return all;", "}();", "")


def write_header_constants(out, table):
    header = table["header"]
    rows = (
        ("First two bytes of every frame, big-endian: \"VK\".", "std::uint16_t kMagic",
         f"0x{header['magic']:04X}"),
        ("Third byte of every frame.", "std::uint8_t kProtocolVersion", header["version"]),
        ("Bytes of the frame header.", "std::size_t kHeaderBytes", header["bytes"]),
        ("TCP port a node listens on unless told otherwise.", "std::uint16_t kTcpPortDefault",
         header["default_tcp_port"]),
        ("ALPN name of a session over TLS.", "std::string_view kAlpn", f'"{header["alpn"]}"'),
        ("Subprotocol name of a session over WebSocket.",
         "std::string_view kWebsocketSubprotocol", f'"{header["websocket_subprotocol"]}"'),
        (table["flag"][0]["doc"], "std::uint8_t kFlagMore",
         f"0x{table['flag'][0]['value']:02X}"),
        ("First of the frame types that are skipped when unknown.",
         "std::uint8_t kIgnorableTypeFirst", f"0x{table['frame_range'][0]['first']:02X}"),
        ("Frame type sent as grease.", "std::uint8_t kGreaseType",
         f"0x{table['frame_grease']['value']:02X}"),
        ("Metadata key sent as grease.", "std::uint8_t kGreaseKey",
         f"0x{table['metadata_grease']['value']:02X}"),
        ("First of the HELLO options that are refused when unknown.",
         "std::uint16_t kRequiredOptionFirst", f"0x{table['hello_option_required']['first']:04X}"),
        ("Last stream of the GOAWAY that begins a drain: everything is still answered.",
         "std::uint32_t kDrainLastStream", "0xFFFFFFFF"),
    )
    for doc, declaration, value in rows:
        out(f"// {doc}", f"inline constexpr {declaration} = {value};", "")
    for option in table["stream_option"]:
        out.comment(
            f"Option of STREAM_OPEN ({', '.join(option['kinds'])}): {plain(option['doc'])}."
        )
        name = f"kStreamOption{camel(option['name'])}"
        out(f"inline constexpr std::uint8_t {name} = {option['value']};", "")


def header(about, includes, write):
    """A generated header: what it is about, what it includes, and a function that writes the rest."""
    out = Writer()
    out(
        f"// {about}. GENERATED by scripts/generate_protocol.py from",
        "// docs/spec/protocol.toml: edit that file, not this one.",
        "#pragma once",
        "",
    )
    for group in includes:
        out(*(f"#include {name}" for name in group), "")
    out("// clang-format off", "namespace valkyrie::protocol {", "")
    write(out)
    out("}  // namespace valkyrie::protocol", "// clang-format on")
    return out.text()


def limit_constants_h(table):
    """protocol/limit_constants.h: every limit, its bounds, and what happens beyond it."""
    return header("Limits of the wire protocol", (("<chrono>", "<cstdint>"), ('"protocol/time.h"',)),
                  lambda out: write_limits(out, table))


def constants_h(table):
    """protocol/constants.h: enums, their words, and what is fixed beside them."""
    return header("Numbers of the wire protocol",
                  (("<array>", "<cstddef>", "<cstdint>", "<string_view>"),
                   ('"protocol/limit_constants.h"',)),
                  lambda out: write_constants(out, table))


def properties_h(table):
    """protocol/properties.h: what frames, metadata entries and options must satisfy."""
    return header("What frames, entries and options must satisfy",
                  (("<array>", "<cstddef>", "<cstdint>"), ('"protocol/constants.h"',)),
                  lambda out: write_properties(out, table))


def write_constants(out, table):
    write_header_constants(out, table)
    write_enums(out, table)
    write_codes(out, table)
    out("// Share of the bytes beyond critical that each class gets, by class; critical has none.")
    weights = ", ".join(str(c.get("weight", 0)) for c in table["class"])
    count = len(table["class"])
    out(f"inline constexpr std::array<std::uint32_t, {count}> kClassWeights = {{{weights}}};", "")
    out("// Class and urgency (0 first, 31 last) a stream has unless its opener says otherwise.")
    out("inline constexpr QosClass kQosClassDefault = QosClass::data;")
    out("inline constexpr std::uint8_t kUrgencyDefault = 16;", "")
    out("// The qos byte of that class and urgency.")
    out("inline constexpr std::uint8_t kQosDefault =")
    out("    static_cast<std::uint8_t>(static_cast<unsigned>(kQosClassDefault) << 5u |")
    out("                              kUrgencyDefault);", "")
    out("// Most urgent class a dialer may use unless HELLO_ACK says otherwise.")
    out("inline constexpr QosClass kQosCeilingDefault = QosClass::job;", "")


def write_properties(out, table):
    write_frame_table(out, table)
    write_metadata_table(out, table)
    write_hello_table(out, table)


def write_hello_table(out, table):
    out("// What an option of HELLO and HELLO_ACK must satisfy.")
    out(
        "struct HelloOptionProperties {",
        "  // The option.",
        "  HelloOption id;",
        "  // Bounds of the value, bytes.",
        "  std::uint16_t value_min;",
        "  std::uint16_t value_max;",
        "  // Legal in HELLO; in HELLO_ACK.",
        "  bool in_hello;",
        "  bool in_hello_ack;",
        "};",
        "",
    )
    options = table["hello_option"]
    out("// All options with a name, ascending.")
    out(
        "inline constexpr std::array<HelloOptionProperties,"
        f" {len(options)}> kHelloOptionProperties = {{{{"
    )
    for h in options:
        low, high = h["bytes"]
        legal = ", ".join(str(f in h["in"]).lower() for f in ("hello", "hello_ack"))
        out(f"    {{HelloOption::{h['name']}, {low}, {high}, {legal}}},")
    out("}};", "")


# ---- tables of the documents ------------------------------------------------------------------
