"""ProtoJSON: what is read, refused and written; protobuf's own json_format as the oracle."""

import json
import math
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from gateway.codec import BadValue, ProtoJsonCodec
from gateway.codec.scalars import INTEGER_RANGES
from gateway.codec.text import MAX_DEPTH
from gateway.descriptors import Catalog

Everything = type[Message]


class Reader:
    """Reads a JSON text into a fresh message."""

    def __init__(self, codec: ProtoJsonCodec, everything: Everything) -> None:
        self.codec, self.everything = codec, everything

    def read(self, text: str | bytes) -> Any:
        message = self.everything()
        self.codec.reader(message.DESCRIPTOR)(
            message, self.codec.parse(text if isinstance(text, bytes) else text.encode())
        )
        return message

    def write(self, message: Message) -> Any:
        return json.loads(self.codec.writer(message.DESCRIPTOR)(message))

    def refusal(self, text: str | bytes) -> tuple[str, str]:
        with pytest.raises(BadValue) as caught:
            self.read(text)
        return caught.value.path, caught.value.description


@pytest.fixture(scope="session")
def reader(codec: ProtoJsonCodec, everything: Everything) -> Reader:
    return Reader(codec, everything)


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ('{"int32Value": 7}', "int32_value", 7),
        ('{"int32_value": 7}', "int32_value", 7),
        ('{"otherName": "x"}', "renamed", "x"),
        ('{"renamed": "x"}', "renamed", "x"),
        ('{"int32Value": "-7"}', "int32_value", -7),
        ('{"int32Value": 1e3}', "int32_value", 1000),
        ('{"int32Value": "1e3"}', "int32_value", 1000),
        ('{"int32Value": 5.0}', "int32_value", 5),
        ('{"int64Value": 9007199254740993}', "int64_value", 9007199254740993),
        ('{"int64Value": "9007199254740993"}', "int64_value", 9007199254740993),
        ('{"uint64Value": "18446744073709551615"}', "uint64_value", 2**64 - 1),
        ('{"doubleValue": 3}', "double_value", 3.0),
        ('{"doubleValue": "1.5e3"}', "double_value", 1500.0),
        ('{"doubleValue": "-Infinity"}', "double_value", -math.inf),
        ('{"boolValue": true}', "bool_value", True),
        ('{"bytesValue": "/+8="}', "bytes_value", b"\xff\xef"),
        ('{"bytesValue": "_-8"}', "bytes_value", b"\xff\xef"),
        ('{"color": "COLOR_RED"}', "color", 1),
        ('{"color": 2}', "color", 2),
        ('{"color": 99}', "color", 99),
        ('{"name": null}', "name", ""),
        ('{"name": "\\ud83d\\ude00"}', "name", "😀"),
        ('{"texts": ["a", ""]}', "texts", ["a", ""]),
        ('{"numbers": ["1", 2]}', "numbers", [1, 2]),
    ],
)
def test_a_value_is_read(reader: Reader, text: str, field: str, value: Any) -> None:
    assert getattr(reader.read(text), field) == value


@pytest.mark.parametrize(
    ("text", "path", "says"),
    [
        ("", "", "not valid JSON"),
        ("nul", "", "not valid JSON"),
        ("null", "", "expected an object"),
        ("[]", "", "expected an object"),
        ('"x"', "", "expected an object"),
        ("7", "", "expected an object"),
        ("{} {}", "", "Extra data"),
        ("{}x", "", "Extra data"),
        ("{'a': 1}", "", "not valid JSON"),
        ('{"name": "a\nb"}', "", "control character"),
        ("\ufeff{}", "", "not valid JSON"),
        (b'{"name": "\xff"}', "", "not UTF-8"),
        ('{"name": "\\ud83d"}', "name", "surrogate"),
        ('{"doubleValue": NaN}', "", "NaN"),
        ('{"doubleValue": -Infinity}', "", "-Infinity"),
        ('{"doubleValue": 1e999}', "", "too large"),
        ('{"doubleValue": "1e999"}', "doubleValue", "too large"),
        ('{"doubleValue": "x"}', "doubleValue", "expected a number"),
        ('{"doubleValue": " 1"}', "doubleValue", "expected a number"),
        ('{"floatValue": 3.5e38}', "floatValue", "out of the range"),
        ('{"int32Value": 2147483648}', "int32Value", "out of range"),
        ('{"int32Value": 1.5}', "int32Value", "whole number"),
        ('{"int32Value": "1.5"}', "int32Value", "whole number"),
        ('{"int32Value": "1_000"}', "int32Value", "whole number"),
        ('{"int32Value": " 1"}', "int32Value", "whole number"),
        ('{"int32Value": "\u0661"}', "int32Value", "whole number"),
        ('{"int32Value": true}', "int32Value", "whole number"),
        ('{"int32Value": ""}', "int32Value", "whole number"),
        ('{"uint32Value": -1}', "uint32Value", "out of range"),
        ('{"uint64Value": "18446744073709551616"}', "uint64Value", "out of range"),
        ('{"int64Value": 1' + "0" * 5000 + "}", "", "not valid JSON"),
        ('{"boolValue": "true"}', "boolValue", "true or false"),
        ('{"boolValue": 1}', "boolValue", "true or false"),
        ('{"name": 1}', "name", "expected a string"),
        ('{"bytesValue": "a"}', "bytesValue", "base64"),
        ('{"bytesValue": "ab=c"}', "bytesValue", "base64"),
        ('{"bytesValue": "abc=="}', "bytesValue", "base64"),
        ('{"bytesValue": "a b="}', "bytesValue", "base64"),
        ('{"color": "RED"}', "color", "COLOR_RED"),
        ('{"color": 1.5}', "color", "expected the name"),
        ('{"color": true}', "color", "expected the name"),
        ('{"nosuch": 1}', "nosuch", "no such field"),
        ('{"inner": {"deeper": {"nosuch": 1}}}', "inner.deeper.nosuch", "no such field"),
        ('{"inners": [{}, {"count": "x"}]}', "inners[1].count", "whole number"),
        ('{"byNumber": {"3": {"count": "x"}}}', "byNumber.3.count", "whole number"),
        ('{"byNumber": {"x": {}}}', "byNumber.x", "whole number"),
        ('{"byNumber": {"1": {}, "01": {}}}', "byNumber.01", "twice"),
        ('{"byBool": {"yes": 1}}', "byBool.yes", "true or false"),
        ('{"labels": {"a": null}}', "labels.a", "expected a string"),
        ('{"labels": []}', "labels", "expected an object"),
        ('{"texts": "a"}', "texts", "expected a list"),
        ('{"texts": [null]}', "texts[0]", "expected a string"),
        ('{"inners": [null]}', "inners[0]", "expected an object"),
        ('{"inner": []}', "inner", "expected an object"),
        ('{"name": "a", "name": "b"}', "name", "twice"),
        ('{"inner": {"label": "a", "label": "b"}}', "label", "twice"),
        ('{"int32Value": 1, "int32_value": 1}', "int32_value", "both its names"),
        ('{"choiceText": "a", "choiceNumber": 1}', "choiceNumber", "oneof choice"),
        ('{"choiceText": "a", "choiceNull": null}', "choiceNull", "oneof choice"),
        ('{"time": "2026-01-31"}', "time", "expected a time"),
        ('{"time": "2026-01-31T12:00:00"}', "time", "expected a time"),
        ('{"time": "2026-01-31t12:00:00z"}', "time", "expected a time"),
        ('{"time": "2026-02-31T12:00:00Z"}', "time", "no such time"),
        ('{"time": "0001-01-01T00:00:00+01:00"}', "time", "out of range"),
        ('{"time": "2026-01-31T12:00:00.1234567891Z"}', "time", "expected a time"),
        ('{"time": 5}', "time", "expected a time"),
        ('{"duration": "3"}', "duration", "expected seconds"),
        ('{"duration": "3m"}', "duration", "expected seconds"),
        ('{"duration": "315576000001s"}', "duration", "10,000 years"),
        ('{"mask": "a_b"}', "mask", "lowerCamelCase"),
        ('{"mask": ["a"]}', "mask", "field paths"),
        ('{"struct": []}', "struct", "expected an object"),
        ('{"struct": {"a": {"b": "\\ud800"}}}', "struct.a.b", "surrogate"),
        ('{"struct": {"\\ud800": 1}}', "struct.\ud800", "surrogate"),
        ('{"list": {}}', "list", "expected a list"),
        ('{"list": [[1' + "0" * 400 + "]]}", "list[0][0]", "too large"),
        ('{"empty": {"a": 1}}', "empty", "empty object"),
        ('{"any": {"@type": "x"}}', "any.@type", "type URL"),
        ('{"any": {"a": 1}}', "any.@type", "type URL"),
        ('{"any": {"@type": "t/no.Such"}}', "any.@type", "no such message type"),
        ('{"any": {"@type": "t/google.protobuf.Duration", "seconds": 1}}', "any.value", "well-known"),
        ('{"any": {"@type": "t/acme.echo.v1.Inner", "count": "x"}}', "any.count", "whole number"),
        ('{"wrappedInt32": "x"}', "wrappedInt32", "whole number"),
    ],
)
def test_a_bad_value_is_refused_with_its_path(reader: Reader, text: str | bytes, path: str, says: str) -> None:
    found_path, description = reader.refusal(text)
    assert found_path == path
    assert says in description


def test_a_hundred_levels_are_read_and_one_more_is_refused(reader: Reader) -> None:
    text = '{"again":' * (MAX_DEPTH - 1) + "{}" + "}" * (MAX_DEPTH - 1)
    assert reader.read(text).HasField("again")
    assert "nested" in reader.refusal('{"again":' * MAX_DEPTH + "{}" + "}" * MAX_DEPTH)[1]
    assert "nested" in reader.refusal("[" * 100_000)[1]


def test_a_body_of_a_great_many_values_is_refused_however_few_bytes_it_has(reader: Reader) -> None:
    assert "more than 300000 values" in reader.refusal('{"list": [' + "1," * 300_000 + "1]}")[1]
    assert len(reader.read('{"texts": ["' + "," * 400_000 + '"]}').texts[0]) == 400_000


def test_brackets_inside_strings_are_no_nesting(reader: Reader) -> None:
    name = '[{\\"' * 1000
    assert reader.read(f'{{"name": "{name}"}}').name == '[{"' * 1000


def test_unknown_fields_are_dropped_where_the_operator_wants_it(echo: Catalog, everything: Everything) -> None:
    lenient = Reader(ProtoJsonCodec(echo.pool, ignore_unknown=True), everything)
    assert lenient.read('{"nosuch": {"a": [1]}, "name": "x"}').name == "x"


def test_null_is_a_value_only_for_value_and_null_value(reader: Reader) -> None:
    message = reader.read('{"value": null, "choiceNull": null, "inner": null, "texts": null, "wrappedBool": null}')
    assert message.value.WhichOneof("kind") == "null_value"
    assert message.WhichOneof("choice") == "choice_null"
    assert not message.HasField("inner")
    assert not message.HasField("wrapped_bool")


def test_presence_is_kept(reader: Reader) -> None:
    message = reader.read('{"optionalNumber": 0, "inner": {}, "struct": {}, "wrappedString": ""}')
    assert message.HasField("optional_number")
    assert message.HasField("inner")
    assert message.HasField("struct")
    assert message.HasField("wrapped_string")
    assert not message.HasField("optional_text")


def test_an_empty_message_shows_scalars_lists_and_maps_but_no_messages(reader: Reader, everything: Everything) -> None:
    shown = reader.write(everything())
    assert shown["name"] == ""
    assert shown["int64Value"] == "0"
    assert shown["color"] == "COLOR_UNSPECIFIED"
    assert shown["texts"] == []
    assert shown["labels"] == {}
    assert not {"optionalText", "inner", "time", "wrappedBool", "choiceText", "any"} & shown.keys()


@pytest.mark.parametrize(
    ("value", "shown"),
    [(1.0, "1"), (0.5, "0.5"), (-0.0, "-0.0"), (1e300, "1e+300"), (math.nan, '"NaN"'), (-math.inf, '"-Infinity"')],
)
def test_doubles_are_written_short(codec: ProtoJsonCodec, everything: Everything, value: float, shown: str) -> None:
    message: Any = everything()
    message.double_value = value
    assert f'"doubleValue":{shown}' in codec.writer(message.DESCRIPTOR)(message).decode()


@pytest.mark.parametrize("value", [0.1, 1.1, 16777216.0, 3.4028234663852886e38, 1e-45, 0.3333333432674408])
def test_floats_are_written_short_and_read_back(reader: Reader, everything: Everything, value: float) -> None:
    message: Any = everything()
    message.float_value = value
    shown = reader.write(message)["floatValue"]
    assert reader.read(json.dumps({"floatValue": shown})) == message


def test_any_of_an_unknown_type_keeps_its_bytes(reader: Reader, everything: Everything) -> None:
    message: Any = everything()
    message.any.type_url = "type.googleapis.com/no.Such"
    message.any.value = b"\xff\x00"
    assert reader.write(message)["any"] == {"@type": "type.googleapis.com/no.Such", "value": "/wA="}


def test_unknown_enum_numbers_are_written_as_numbers(reader: Reader, everything: Everything) -> None:
    message: Any = everything()
    message.color = 77
    assert reader.write(message)["color"] == 77


def scalar_strategy(field: FieldDescriptor) -> st.SearchStrategy[Any]:
    if field.type in INTEGER_RANGES:
        return st.integers(*INTEGER_RANGES[field.type])
    if field.enum_type is not None:
        # NullValue has one value, and shows as null whatever its number.
        is_null = field.enum_type.full_name == "google.protobuf.NullValue"
        return st.just(0) if is_null else st.sampled_from([0, 1, 2, 77])
    return {
        FieldDescriptor.TYPE_BOOL: st.booleans(),
        FieldDescriptor.TYPE_STRING: st.text(max_size=8),
        FieldDescriptor.TYPE_BYTES: st.binary(max_size=8),
        FieldDescriptor.TYPE_FLOAT: st.floats(width=32, allow_nan=False),
        FieldDescriptor.TYPE_DOUBLE: st.floats(allow_nan=False),
    }[field.type]


JSON_VALUES: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=6),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=6,
)


def fill(draw: st.DrawFn, message: Any, depth: int) -> None:
    descriptor: Descriptor = message.DESCRIPTOR
    known = WELL_KNOWN.get(descriptor.full_name)
    if known is not None:
        known(draw, message)
        return
    if not descriptor.fields:
        return
    for number in draw(st.lists(st.sampled_from([field.number for field in descriptor.fields]), max_size=6)):
        fill_field(draw, message, descriptor.fields_by_number[number], depth)


def fill_field(draw: st.DrawFn, message: Any, field: FieldDescriptor, depth: int) -> None:
    target = getattr(message, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        fill_map(draw, target, field.message_type, depth)
    elif field.message_type is not None:
        if depth < 3:
            fill_messages(draw, target, field, depth)
    elif field.is_repeated:
        target.extend(draw(st.lists(scalar_strategy(field), max_size=3)))
    else:
        setattr(message, field.name, draw(scalar_strategy(field)))


def fill_map(draw: st.DrawFn, target: Any, entry: Descriptor, depth: int) -> None:
    value = entry.fields_by_name["value"]
    for key in draw(st.lists(scalar_strategy(entry.fields_by_name["key"]), max_size=3)):
        if value.message_type is not None:
            fill(draw, target[key], depth + 1)
        else:
            target[key] = draw(scalar_strategy(value))


def fill_messages(draw: st.DrawFn, target: Any, field: FieldDescriptor, depth: int) -> None:
    if field.is_repeated:
        for _ in range(draw(st.integers(0, 2))):
            fill(draw, target.add(), depth + 1)
    else:
        target.SetInParent()
        fill(draw, target, depth + 1)


def fill_timestamp(draw: st.DrawFn, message: Any) -> None:
    message.seconds = draw(st.integers(-62135596800, 253402300799))
    message.nanos = draw(st.sampled_from([0, 5, 1000, 123_000_000, 999_999_999]))


def fill_duration(draw: st.DrawFn, message: Any) -> None:
    sign = draw(st.sampled_from([1, -1]))
    message.seconds = sign * draw(st.integers(0, 315_576_000_000 - 1))
    message.nanos = sign * draw(st.sampled_from([0, 5, 1000, 123_000_000, 999_999_999]))


def fill_mask(draw: st.DrawFn, message: Any) -> None:
    message.paths.extend(draw(st.lists(st.sampled_from(["a", "a_b", "a_b.c_d", "x1"]), max_size=3)))


def fill_any(draw: st.DrawFn, message: Any) -> None:
    """Left empty: json_format and this codec agree on it only where the type is known; examples cover the rest."""


def from_json(parse: Any) -> Any:
    return lambda draw, message: json_format.ParseDict(draw(parse), message)


WELL_KNOWN: dict[str, Any] = {
    "google.protobuf.Timestamp": fill_timestamp,
    "google.protobuf.Duration": fill_duration,
    "google.protobuf.FieldMask": fill_mask,
    "google.protobuf.Any": fill_any,
    "google.protobuf.Value": from_json(JSON_VALUES),
    "google.protobuf.ListValue": from_json(st.lists(JSON_VALUES, max_size=3)),
    "google.protobuf.Struct": from_json(st.dictionaries(st.text(max_size=4), JSON_VALUES, max_size=3)),
}


@st.composite
def messages(draw: st.DrawFn, everything: Everything) -> Message:
    message = everything()
    fill(draw, message, 0)
    return message


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_both_codecs_read_what_the_other_wrote(reader: Reader, echo: Catalog, data: st.DataObject) -> None:
    message = data.draw(messages(reader.everything))
    theirs = json_format.MessageToJson(message, descriptor_pool=echo.pool, always_print_fields_with_no_presence=True)
    assert reader.read(theirs) == message
    ours = reader.write(message)
    assert json_format.ParseDict(ours, reader.everything(), descriptor_pool=echo.pool) == message
    assert reader.read(json.dumps(ours)) == message
    assert ours.keys() == json.loads(theirs).keys()


@pytest.mark.parametrize(
    "text",
    [
        '{"any": {"@type": "type.googleapis.com/google.protobuf.Duration", "value": "1.500s"}}',
        '{"any": {"@type": "type.googleapis.com/google.protobuf.Int32Value", "value": 5}}',
        '{"any": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {"a": [1, null]}}}',
        '{"any": {"@type": "type.googleapis.com/acme.echo.v1.Inner", "label": "x", "count": 0}}',
        '{"any": {}}',
    ],
)
def test_any_goes_both_ways_as_in_json_format(reader: Reader, echo: Catalog, text: str) -> None:
    message = reader.read(text)
    assert message == json_format.Parse(text, reader.everything(), descriptor_pool=echo.pool)
    assert reader.write(message)["any"] == json.loads(text)["any"]
