"""What a random case consists of: tables with their rows, and steps in an abstract form that the model reads."""
from dataclasses import dataclass, field
from typing import Any, Optional


@dataclass
class Column:
    name: str
    type: str
    not_null: bool = False
    default: Optional[str] = None    # SQL; with `late` the column is added when the rows are there (a fast default)
    late: bool = False
    generated: Optional[str] = None  # SQL of a stored generated column


@dataclass
class ForeignKey:
    column: str
    table: "Table"
    ref: str
    valid: bool = True
    deferred: bool = False
    more: list = field(default_factory=list)     # further (column, ref) of a key of several columns


@dataclass
class Table:
    schema: str
    name: str
    columns: list
    key: list                        # columns of the row key
    key_kind: str = "pk"             # pk | unique (a unique index over NOT NULL columns, no primary key)
    unique: list = field(default_factory=list)   # further unique columns
    rows: list = field(default_factory=list)     # {column: value}; "__t" is the tenant that the row was made for
    fks: list = field(default_factory=list)
    partition: Optional[tuple] = None            # (hash|range|list, column)
    owner: Optional[str] = None
    rls: Optional[str] = None
    triggers: list = field(default_factory=list)
    touched: list = field(default_factory=list)  # columns that triggers or generation change
    audit: Optional[str] = None                  # name of the table that its audit trigger writes
    statement_audit: Optional[str] = None
    heir: Optional[str] = None                   # name of a table that inherits from it

    def type_of(self, column):
        return next(c.type for c in self.columns if c.name == column)

    def has(self, column):
        return any(c.name == column for c in self.columns)


@dataclass
class Source:
    kind: str                        # children | parent | path | polymorphic
    label: str
    table: Optional[Table] = None    # children: the child; parent: the parent
    column: Optional[str] = None     # children: the child's column; parent, polymorphic: the target's
    ref: Optional[str] = None        # what the column equals on the other side
    more: list = field(default_factory=list)     # children: further (column, ref) of a foreign key of several columns
    tenant: Optional[str] = None     # tenant key of the end
    hops: list = field(default_factory=list)     # path: (column, table, ref)
    type_column: Optional[str] = None
    types: dict = field(default_factory=dict)    # type value -> (table, id column, tenant column)
    where: dict = field(default_factory=dict)    # column -> value | list | None
    json: dict = field(default_factory=dict)     # as it stands in the spec


@dataclass
class Step:
    table: Table
    column: str
    sources: list = field(default_factory=list)
    soft_delete: Optional[str] = None
    evidence: str = "unanimous"
    on_conflict: str = "review"
    on_orphan: Any = "review"        # review | soft_delete | fail | {"assign": tenant}
    where: dict = field(default_factory=dict)
    json: dict = field(default_factory=dict)


@dataclass
class Case:
    seed: int
    name: str = ""
    one_line: bool = False           # backfill(relation, column) instead of a spec
    root: Optional[Table] = None
    root_key: str = ""
    tables: list = field(default_factory=list)
    steps: list = field(default_factory=list)
    spec: dict = field(default_factory=dict)
    settings: dict = field(default_factory=dict)
    as_operator: bool = False
    schemas: list = field(default_factory=list)
    arguments: dict = field(default_factory=dict)  # of the one-line form
