"""Layers that a runtime fuses and that therefore need one format, found by their names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from mapc.errors import UsageError
from mapc.graph.operators import Ragged


@dataclass(frozen=True)
class TieRule:
    """Groups whose names match and agree on what the brackets of the pattern catch are tied."""

    name: str
    pattern: str
    summary: str


_END = r"(?:\.weight)?"
_EXPERTS = r"(.*\.(?:experts|local_experts))\.\d+"

TIE_RULES: dict[str, TieRule] = {
    rule.name: rule
    for rule in [
        TieRule(
            "qkv",
            rf"(.*)(?:\.|_)(?:[qkv]_proj|query|key|value|(?:attn_)?[qkv]|to_[qkv]){_END}",
            "query, key and value projections of one attention",
        ),
        TieRule(
            "gate_up",
            rf"(.*)(?:\.|_)(?:gate_proj|up_proj|gate|up|w1|w3){_END}",
            "gate and up projections of one feed-forward part",
        ),
        TieRule(
            "experts",
            rf"{_EXPERTS}\.[\w.]+",
            "all matrices of all experts of one layer",
        ),
        TieRule(
            "expert_kind",
            rf"{_EXPERTS}\.(\w+?){_END}",
            "the same matrix of all experts of one layer",
        ),
        TieRule(
            "expert",
            r"(.*\.experts\.\d+)\.[\w.]+",
            "the matrices of one expert",
        ),
        TieRule(
            "latent_qkv_a",
            rf"(.*)\.(?:q_a_proj|kv_a_proj_with_mqa){_END}",
            "down projections of one latent attention",
        ),
        TieRule(
            "linear_attention_qkvz",
            rf"(.*\.linear_attn)\.in_proj_(?:qkv|z){_END}",
            "fused input projections of linear attention",
        ),
        TieRule(
            "linear_attention_ba",
            rf"(.*\.linear_attn)\.in_proj_(?:a|b){_END}",
            "fused gates of linear attention",
        ),
    ]
}
"""Rules by name."""

_SERVED = (
    "qkv",
    "latent_qkv_a",
    "gate_up",
    "experts",
    "linear_attention_qkvz",
    "linear_attention_ba",
)
TIE_PRESETS: dict[str, tuple[str, ...]] = {
    "none": (),
    "vllm": _SERVED,
    "modelopt": _SERVED,
    "llamacpp": ("expert_kind",),
}
"""What runtimes fuse, as exporters demand it: vLLM runs fused q-k-v (also of latent attention) and
gate-up and one kernel for the experts of a layer; llama.cpp keeps each matrix of all experts of a
layer in one tensor."""


def ties_by_rule(names: Sequence[str], rules: Iterable[str | TieRule]) -> Ragged:
    """Return the sets of groups that must agree.

    Parameters
    ----------
    names : sequence of str
        Of the groups.
    rules : iterable of str or TieRule
        Names of `TIE_RULES` or `TIE_PRESETS`, or rules of one's own. Sets that share a group grow
        together.

    Returns
    -------
    Ragged
        Indices into ``names``, ascending, two or more in each row.

    Raises
    ------
    UsageError
        For a rule that is not there or a pattern that is no regular expression.
    """
    leader = list(range(len(names)))

    def find(i: int) -> int:
        while leader[i] != i:
            leader[i] = leader[leader[i]]
            i = leader[i]
        return i

    for rule in _resolved(rules):
        first: dict[tuple[str | None, ...], int] = {}
        pattern = _compiled(rule)
        for i, name in enumerate(names):
            if match := pattern.fullmatch(name):
                a, b = find(first.setdefault(match.groups(), i)), find(i)
                leader[max(a, b)] = min(a, b)
    members: dict[int, list[int]] = {}
    for i in range(len(names)):
        members.setdefault(find(i), []).append(i)
    return Ragged.of(rows for rows in members.values() if len(rows) > 1)


def _resolved(rules: Iterable[str | TieRule]) -> list[TieRule]:
    found: list[TieRule] = []
    for rule in rules:
        if isinstance(rule, TieRule):
            found.append(rule)
        elif rule in TIE_PRESETS:
            found += [TIE_RULES[name] for name in TIE_PRESETS[rule]]
        elif rule in TIE_RULES:
            found.append(TIE_RULES[rule])
        else:
            known = ", ".join([*TIE_PRESETS, *TIE_RULES])
            raise UsageError(f"tie rule {rule!r}: no such rule; expected one of {known}")
    return found


def _compiled(rule: TieRule) -> re.Pattern[str]:
    try:
        return re.compile(rule.pattern)
    except re.error as error:
        raise UsageError(f"tie rule {rule.name!r}: no regular expression: {error}") from None
