"""Evaluation of one Python expression over numbers, without Python's own ``eval``.

ComfyUI's math node uses the library simpleeval. Names, limits and error texts here are those of simpleeval 1.0.8, so
that the same expressions fail with the same errors. Stricter than the library: attributes are read of numbers only.
"""

from __future__ import annotations

import ast
import operator
import sys
from collections.abc import Callable, Mapping
from typing import Any, cast

MOST_POWER = 4_000_000
MOST_SHIFT = 10_000
MOST_SHIFTED = int(sys.float_info.max)
LONGEST = 100_000
"""The length of a text or list that may come out of an operation."""


class ExpressionError(Exception):
    """An expression that cannot be evaluated. Clients see the types and texts of simpleeval, as from ComfyUI."""


def _named(name: str) -> type[ExpressionError]:
    made = type(name, (ExpressionError,), {"__module__": "simpleeval", "__qualname__": name})
    return cast("type[ExpressionError]", made)


INVALID, NO_FUNCTION, NO_NAME = _named("InvalidExpression"), _named("FunctionNotDefined"), _named("NameNotDefined")
NO_ATTRIBUTE, NO_OPERATOR = _named("AttributeDoesNotExist"), _named("OperatorNotDefined")
REFUSED, TOO_HIGH, TOO_LONG = _named("FeatureNotAvailable"), _named("NumberTooHigh"), _named("IterableTooLong")

_HIDDEN = ("_", "func_")
_FORBIDDEN = {"format", "format_map", "mro", "tb_frame", "gi_frame", "ag_frame", "cr_frame", "exec"}


def _power(base: Any, exponent: Any) -> Any:
    if abs(base) > MOST_POWER or abs(exponent) > MOST_POWER:
        raise TOO_HIGH(f"Sorry! I don't want to evaluate {base} ** {exponent}")
    return base**exponent


def _product(first: Any, second: Any) -> Any:
    for one, times in ((first, second), (second, first)):
        if hasattr(one, "__len__") and times * len(one) > LONGEST:
            raise TOO_LONG("Sorry, I will not evaluate something that long.")
    return first * second


def _sum(first: Any, second: Any) -> Any:
    if hasattr(first, "__len__") and hasattr(second, "__len__") and len(first) + len(second) > LONGEST:
        raise TOO_LONG("Sorry, adding those two together would make something too long.")
    return first + second


def _shift(sign: str, shift: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def limited(value: Any, places: Any) -> Any:
        if abs(places) > MOST_SHIFT or abs(value) > MOST_SHIFTED:
            raise TOO_HIGH(f"Sorry! I don't want to evaluate {value} {sign} {places}")
        return shift(value, places)

    return limited


_OPERATORS: dict[type[ast.AST], Callable[..., Any]] = {
    ast.Add: _sum,
    ast.Sub: operator.sub,
    ast.Mult: _product,
    ast.Div: operator.truediv,
    ast.FloorDiv: operator.floordiv,
    ast.Mod: operator.mod,
    ast.Pow: _power,
    ast.RShift: _shift(">>", operator.rshift),
    ast.LShift: _shift("<<", operator.lshift),
    ast.BitXor: operator.xor,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
    ast.Invert: operator.invert,
    ast.Not: operator.not_,
    ast.USub: operator.neg,
    ast.UAdd: operator.pos,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
    ast.Gt: operator.gt,
    ast.Lt: operator.lt,
    ast.GtE: operator.ge,
    ast.LtE: operator.le,
    ast.In: lambda item, container: operator.contains(container, item),
    ast.NotIn: lambda item, container: not operator.contains(container, item),
    ast.Is: operator.is_,
    ast.IsNot: operator.is_not,
}


def evaluate(expression: str, names: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> Any:
    """The value of the first expression in the text.

    Raises ``SyntaxError``, what the operators and functions raise, and the errors of this module.
    """
    found = ast.parse(expression.strip()).body
    if not found:
        raise INVALID("Sorry, cannot evaluate empty string")
    return _Evaluation(expression, names, functions).value(found[0])


class _Evaluation:
    def __init__(self, text: str, names: Mapping[str, Any], functions: Mapping[str, Callable[..., Any]]) -> None:
        self.text, self.names, self.functions = text, names, functions

    def value(self, part: ast.AST) -> Any:
        """The value of a part of the expression."""
        kind = type(part).__name__
        handler = getattr(self, f"of_{kind.lower()}", None)
        if handler is None:
            raise REFUSED(f"Sorry, {kind} is not available in this evaluator")
        return handler(part)

    def of_expr(self, part: Any) -> Any:
        """A statement that is an expression; of an assignment, the library evaluates the right side."""
        return self.value(part.value)

    of_assign = of_augassign = of_expr

    def of_import(self, _part: Any) -> Any:
        """Refuse it."""
        raise REFUSED("Sorry, 'import' is not allowed.")

    def of_constant(self, part: ast.Constant) -> Any:
        """A literal."""
        length = len(part.value) if isinstance(part.value, str | bytes) else 0
        if length > LONGEST:
            raise TOO_LONG(f"Literal in statement is too long! ({length}, when {LONGEST} is max)")
        return part.value

    def of_name(self, part: ast.Name) -> Any:
        """A variable, or else a function."""
        for known in (self.names, self.functions):
            if part.id in known:
                return known[part.id]
        raise NO_NAME(f"'{part.id}' is not defined for expression '{self.text}'")

    def operation(self, kind: ast.AST) -> Callable[..., Any]:
        """What an operator does."""
        if type(kind) not in _OPERATORS:
            raise NO_OPERATOR(f"Operator '{kind}' does not exist in expression '{self.text}'")
        return _OPERATORS[type(kind)]

    def of_unaryop(self, part: ast.UnaryOp) -> Any:
        """A sign, ``not`` or ``~``."""
        return self.operation(part.op)(self.value(part.operand))

    def of_binop(self, part: ast.BinOp) -> Any:
        """Two values and an operator."""
        return self.operation(part.op)(self.value(part.left), self.value(part.right))

    def of_boolop(self, part: ast.BoolOp) -> Any:
        """``and`` or ``or``; the later values are evaluated only if they count."""
        ends = isinstance(part.op, ast.Or)
        found: Any = False
        for each in part.values:
            found = self.value(each)
            if bool(found) == ends:
                break
        return found

    def of_compare(self, part: ast.Compare) -> Any:
        """A chain of comparisons."""
        right, holds = self.value(part.left), True
        for kind, following in zip(part.ops, part.comparators, strict=True):
            left, right = right, self.value(following)
            holds = self.operation(kind)(left, right)
            if not holds:
                break
        return holds

    def of_ifexp(self, part: ast.IfExp) -> Any:
        """One of two values."""
        return self.value(part.body if self.value(part.test) else part.orelse)

    def of_call(self, part: ast.Call) -> Any:
        """A function with arguments."""
        if isinstance(part.func, ast.Attribute):
            function = self.value(part.func)
        elif not isinstance(part.func, ast.Name):
            raise REFUSED("Lambda Functions not implemented")
        elif part.func.id not in self.functions:
            raise NO_FUNCTION(f"Function '{part.func.id}' not defined, for expression '{self.text}'.")
        else:
            function = self.functions[part.func.id]
        arguments = [self.value(each) for each in part.args]
        options: dict[Any, Any] = {each.arg: self.value(each.value) for each in part.keywords}
        return function(*arguments, **options)

    def of_subscript(self, part: ast.Subscript) -> Any:
        """An item or a slice."""
        return self.value(part.value)[self.value(part.slice)]

    def of_slice(self, part: ast.Slice) -> Any:
        """The limits of a slice."""
        limits = [None if each is None else self.value(each) for each in (part.lower, part.upper, part.step)]
        return slice(*limits)

    def of_attribute(self, part: ast.Attribute) -> Any:
        """A public attribute of a number."""
        if part.attr.startswith(_HIDDEN):
            told = "Sorry, access to __attributes  or func_ attributes is not available. "
            raise REFUSED(f"{told}({part.attr})")
        if part.attr in _FORBIDDEN:
            raise REFUSED(f"Sorry, this method is not available. ({part.attr})")
        owner = self.value(part.value)
        if isinstance(owner, int | float) and hasattr(owner, part.attr):
            return getattr(owner, part.attr)
        raise NO_ATTRIBUTE(f"Attribute '{part.attr}' does not exist in expression '{self.text}'")

    def of_joinedstr(self, part: ast.JoinedStr) -> str:
        """A formatted text."""
        texts = [str(self.value(each)) for each in part.values]
        if max(map(len, texts), default=0) > LONGEST:
            raise TOO_LONG("Sorry, I will not evaluate something this long.")
        return "".join(texts)

    def of_formattedvalue(self, part: ast.FormattedValue) -> Any:
        """A value in a formatted text."""
        found = self.value(part.value)
        if part.format_spec is None:
            return found
        return ("{:" + self.value(part.format_spec) + "}").format(found)
