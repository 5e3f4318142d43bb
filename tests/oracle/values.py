"""Names, values and their SQL text for the random cases: whatever a real schema may hold that is easy to get wrong."""
import json
import uuid

RESERVED = ["order", "select", "user", "group", "table", "from", "end", "all", "null", "analyse", "default", "check"]
STRANGE = ['say "{}"', "{}\nline two", "{} größe", "{} заказы", "{}顧客", "{} 🏢", "{}.dotted", "{}/slash", "{}, comma",
           "{}%s%I", "c:\\{}", "o'{}", "${}$1", "({})", "1{}", "{{{}}}", " {} ", '"{}', "{}\ttab", "{}::text", "--{}"]


def quote(name):
    """An identifier as SQL text, always quoted."""
    return '"' + name.replace('"', '""') + '"'


def plain(name):
    """Whether the name reads the same without quotes (not a keyword, lower case)."""
    return (name[0].isalpha() and name.isascii() and name == name.lower() and name.replace("_", "a").isalnum()
            and name not in RESERVED)


class Names:
    """Gives unique names; `strange` is the share of them that need quotes."""

    def __init__(self, rng, strange):
        self.rng, self.strange, self.used = rng, strange, set()

    def make(self, word):
        for attempt in range(100):
            name = word if attempt == 0 else f"{word}_{attempt + 1}"
            if self.rng.random() < self.strange:
                kind = self.rng.randrange(6)
                if kind == 0:
                    name = self.rng.choice(RESERVED) if attempt < 5 else name
                elif kind == 1:
                    name = "".join(part.capitalize() for part in name.split("_"))
                elif kind == 2:
                    name = name.ljust(63, "x")
                else:
                    name = self.rng.choice(STRANGE).format(name)
            if name not in self.used and len(name.encode()) <= 63:
                self.used.add(name)
                return name
        raise AssertionError("no name left for " + word)


DOMAINS = "CREATE DOMAIN public.whole AS int8 CHECK (value <> 12345678); CREATE DOMAIN public.word AS text CHECK (length(value) < 200)"


def family(type_name):
    """int, uuid or text: what a type's values are compared as."""
    return {"int2": "int", "int4": "int", "int8": "int", "public.whole": "int", "uuid": "uuid"}.get(type_name, "text")


def random_type(rng, of_family=None):
    choices = {"int": ["int4", "int4", "int8", "int8", "int8", "int2", "public.whole"], "uuid": ["uuid"],
               "text": ["text", "text", "text", "varchar", "varchar(80)", "public.word"]}
    return rng.choice(choices[of_family or rng.choice(["int", "int", "uuid", "text"])])


ODD_TEXT = ["a,b", 'quo"te', "o'clock", "", "{}", "NULL", "null", "größe", "back\\slash", "new\nline", " lead", "trail ", "{1,2}", "(x)",
            "tab\there", "日本", '"', "\\", "\\N", "1", "01", "-1", "🏢", "%s", "$1"]


def key_values(rng, type_name, count):
    """`count` different values of a type, in random order."""
    values = set()
    kind = family(type_name)
    if kind == "int":
        low = rng.choice([1, 1, 1, 0, -50])
        values.update(range(low, low + count))
        if type_name != "int2":
            top = 2**31 - 1 if type_name == "int4" else 2**63 - 1
            for _ in range(min(count // 5, 10)):
                values.add(rng.choice([top - rng.randrange(20), -top + rng.randrange(20), rng.randrange(top)]))
    elif kind == "uuid":
        while len(values) < count:
            values.add(str(uuid.UUID(int=rng.getrandbits(128))))
    else:
        values.update(rng.sample(ODD_TEXT, min(len(ODD_TEXT), count // 3)))
        number, tail = 0, "-" + "x" * 50 if count > 1000 else ""
        while len(values) < count:
            number += 1
            values.add(f"{rng.choice(['k', 'K', 'key-', 'ü'])}{number}{tail}")
    values = sorted(values, key=str)
    rng.shuffle(values)
    return values[:count]


def literal(value):
    """A Python value as an SQL literal."""
    if value is None:
        return "NULL"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return f"'{value}'"
    text = str(value)
    return (" E'" if "\\" in text else "'") + text.replace("\\", "\\\\").replace("'", "''") + "'"


def copy_text(value):
    """A Python value as COPY text."""
    if value is None:
        return "\\N"
    if isinstance(value, bool):
        return "t" if value else "f"
    return str(value).replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")


def compact(value):
    return json.dumps(value, ensure_ascii=False, sort_keys=True)
