"""Random validations, batches and what polars itself makes of them: generate.py SEED COUNT, one JSON object a line.

Runs with polars 0.18 (the published client's) and with later versions, each in the JSON form that it writes. Left out is what
polars refuses or cannot write down, and what the two versions decide differently (comparisons with NaN).
"""
import json
import random
import sys

import numpy as np
import polars as pl

seed, count = int(sys.argv[1]), int(sys.argv[2])
rng = random.Random(seed)
old = pl.__version__.startswith("0.")
TEXT = getattr(pl, "Utf8")

COLUMNS = {
    "in.a": pl.Float32, "in.b": pl.Float64, "in.i": pl.Int32, "in.j": pl.Int64, "in.k": pl.Int8, "in.u": pl.UInt8, "in.s": TEXT, "in.t": pl.Boolean,
    "out.x": pl.List(pl.Float32), "out.y": pl.List(pl.Int64), "out.w": pl.List(TEXT),
}
WORDS = ["", "a", "ab", "abc", "site0001", "Zürich", "日本", "A b ", " x", "aXc"]


def value(dtype):
    if dtype in (pl.Float32, pl.Float64):
        return float(np.float32(rng.choice([0, 1, -1, 0.5, 2.5, 0.1, rng.uniform(-5, 5), rng.gauss(0, 1)])))
    if dtype == pl.UInt8:
        return rng.randint(0, 9)
    if dtype in (pl.Int8, pl.Int32, pl.Int64):
        return rng.randint(-9, 9)
    if dtype == TEXT:
        return rng.choice(WORDS)
    if dtype == pl.Boolean:
        return rng.random() < 0.5
    return [value(dtype.inner) for _ in range(rng.randint(1, 4))]


def frame():
    rows = rng.randint(1, 6)
    return {name: [value(dtype) for _ in range(rows)] for name, dtype in COLUMNS.items()}


def pick(*makers):
    return rng.choice(makers)()


def floating(d):
    if d <= 0:
        return pl.col(rng.choice(["in.a", "in.b"]))
    return pick(
        lambda: floating(0),
        lambda: floating(d - 1) + pick(lambda: floating(d - 1), lambda: rng.choice([1, 0.5, -2.25])),
        lambda: floating(d - 1) - number(d - 1), lambda: floating(d - 1) * rng.choice([2, 0.1, -1.5]),
        lambda: floating(d - 1) / rng.choice([2, 0.3]), lambda: floating(d - 1).abs(), lambda: -floating(d - 1),
        lambda: floating(d - 1).round(rng.choice([1, 2])) if old else floating(d - 1).floor(), lambda: floating(d - 1).floor(), lambda: floating(d - 1).ceil(),
        lambda: pl.col("out.x").list.get(rng.choice([0, -1, 1, 9])), lambda: pl.col("out.x").list.sum(),
        lambda: floating(0).mean(), lambda: floating(0).min(), lambda: floating(0).max(), lambda: floating(0).sum(), lambda: floating(0).std().fill_null(0) if not old else floating(0).sum(),
        lambda: floating(0).quantile(rng.choice([0.0, 0.25, 0.5, 1.0]), rng.choice(["nearest", "lower", "higher", "linear", "midpoint"])),
        lambda: pl.col("in.i").mean(), lambda: integer(d - 1).cast(pl.Float64), lambda: integer(d - 1) / rng.choice([2, 4]), lambda: floating(0).median(),
        lambda: pl.when(boolean(d - 1)).then(floating(d - 1)).otherwise(floating(d - 1)), lambda: floating(d - 1).fill_null(1.5),
        *([] if old else [lambda: pl.col("out.x").list.min(), lambda: pl.col("out.x").list.max(), lambda: pl.col("out.x").list.mean(), lambda: pl.max_horizontal(floating(d - 1), floating(d - 1))]),
    )


def integer(d):
    if d <= 0:
        return pl.col(rng.choice(["in.i", "in.j", "in.k", "in.u"]))
    return pick(
        lambda: integer(0), lambda: pl.col(rng.choice(["in.i", "in.j"])) + rng.randint(-3, 3), lambda: pl.col("in.i") * rng.randint(-3, 3), lambda: pl.col("in.i") - pl.col("in.j"),
        lambda: pl.col("in.i").abs(), lambda: pl.col("in.i").sum(), lambda: integer(0).min(), lambda: integer(0).max(), lambda: pl.col("out.y").list.get(rng.choice([0, -1, 7])),
        lambda: pl.col("out.y").list.sum(), lambda: floating(0).cast(pl.Int32), lambda: integer(0).count().cast(pl.Int64), lambda: pl.col("in.i") // rng.choice([2, 3]),
        lambda: text(d - 1).str.n_chars().cast(pl.Int64) if old else text(d - 1).str.len_chars().cast(pl.Int64), lambda: integer(0).n_unique().cast(pl.Int64),
        *([] if old else [lambda: pl.col("out.y").list.min(), lambda: pl.col("out.y").list.len().cast(pl.Int64)]),
    )


def number(d):
    return pick(lambda: floating(d), lambda: integer(d))


def text(d):
    if d <= 0:
        return pl.col("in.s")
    return pick(lambda: text(0), lambda: text(d - 1).str.to_lowercase(), lambda: text(d - 1).str.to_uppercase(), lambda: pl.col("out.w").list.get(rng.choice([0, -1, 3])),
                lambda: (text(d - 1).str.strip() if old else text(d - 1).str.strip_chars()), lambda: pl.concat_str([text(d - 1), text(0)]), lambda: pl.col("in.i").cast(TEXT))


def boolean(d):
    if d <= 0:
        return pick(lambda: number(0) < rng.choice([0, 1, 0.5, -2]), lambda: pl.col("in.t"))
    compare = lambda a, b: rng.choice([a < b, a <= b, a > b, a >= b, a == b, a != b])
    return pick(
        lambda: compare(floating(d - 1), rng.choice([0, 1, 0.1, 0.5, -1.5])), lambda: compare(integer(d - 1), rng.choice([0, 1, 3, 0.5])), lambda: compare(number(d - 1), number(d - 1)),
        lambda: compare(text(d - 1), text(d - 1)), lambda: text(d - 1) == rng.choice(WORDS), lambda: boolean(d - 1) & boolean(d - 1), lambda: boolean(d - 1) | boolean(d - 1),
        lambda: ~boolean(d - 1), lambda: boolean(d - 1) ^ boolean(d - 1), lambda: integer(d - 1).is_between(-2, 4, closed=rng.choice(["both", "left", "right", "none"])),
        lambda: floating(d - 1).is_between(-0.5, 1), lambda: pl.col(rng.choice(["in.i", "in.j"])).is_in([1, 2, -3]), lambda: text(d - 1).is_in(["a", "abc", "Zürich"]),
        lambda: pl.col("out.y").list.get(rng.choice([0, 3])).is_in(rng.choice([[1, 2, -3], [1, None, 5], *([[None], []] if old else [])])), lambda: text(d - 1).is_in(["a", None]), lambda: ~pl.col("out.w").list.get(2).is_in(["a", "ab", ""]),
        lambda: pl.col("out.x").list.get(rng.choice([0, 2])).is_in([0.5, 1.0, None]), lambda: boolean(d - 1).is_in([True]),
        *([] if old else [lambda: pl.col("out.y").list.get(3).is_in([1, None], nulls_equal=True), lambda: pl.col("out.w").list.get(1).is_in(["a", "b"], nulls_equal=True)]),
        lambda: pl.col("out.y").list.contains(rng.randint(-9, 9)), lambda: number(d - 1).is_null(), lambda: pl.col("out.x").list.get(3).is_not_null(),
        lambda: text(d - 1).str.contains(rng.choice(["a", "^a.c$", r"\d+", "[A-Z]"])), lambda: text(d - 1).str.contains(rng.choice(["a", "."]), literal=True),
        lambda: text(d - 1).str.starts_with("a"), lambda: text(d - 1).str.ends_with("c"), lambda: boolean(0).any(), lambda: boolean(0).all(), lambda: floating(d - 1).is_nan(), lambda: floating(d - 1).is_finite(),
        lambda: pl.when(boolean(d - 1)).then(pl.lit(True)).otherwise(boolean(d - 1)), lambda: boolean(d - 1).is_null(),
    )


written = 0
while written < count:
    data = frame()
    expression = boolean(rng.randint(1, 4)).alias("v")
    df = pl.DataFrame(data, schema=COLUMNS)
    try:
        encoded = expression.meta.write_json() if old else expression.meta.serialize(format="json")
        result = df.select(expression)["v"]
    except BaseException:  # polars refuses it, or cannot write it down
        continue
    answer = result.to_list()
    if len(answer) == 1:
        answer *= len(df)
    print(json.dumps({"expression": encoded, "data": data, "answer": [bool(a) for a in answer], "text": str(expression)[:300]}))
    written += 1
