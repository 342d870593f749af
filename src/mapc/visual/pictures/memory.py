"""Pictures of a memory plan: its map, bytes in use, traffic, and capacity against traffic."""

from __future__ import annotations

from mapc.visual.figure import Section
from mapc.visual.pictures.memory_front import front_figure, front_of
from mapc.visual.pictures.memory_map import map_figures
from mapc.visual.pictures.memory_traffic import live_figure, traffic_figure
from mapc.visual.pictures.memory_transfers import Transfers, flaw
from mapc.visual.view import View
from mapc.visual.words import counted, sentences, words

HOW = "mapc solve FILE --front -o front.json, then mapc report PLAN --front front.json"


def sections(view: View) -> tuple[Section, ...]:
    """Return the sections of a memory plan, the map first.

    Parameters
    ----------
    view : View
        Of a memory problem and a plan of it. A plan that breaks rules is drawn as far as it names
        what exists; else one section says why it is not.
    """
    wrong = flaw(view.problem, view.plan)
    if wrong:
        return (Section("memory-map", "Memory map", f"The plan cannot be drawn: {wrong}."),)
    moved = Transfers(view.problem, view.plan)
    return (
        Section("memory-map", "Memory map", _map_text(view, moved), map_figures(view, moved)),
        Section("live-bytes", "Bytes in use", figures=(live_figure(view, moved),)),
        Section("traffic", "Traffic", _traffic_text(moved), (traffic_figure(moved),)),
        _front_section(view, moved),
    )


def _map_text(view: View, moved: Transfers) -> str:
    graph = view.problem.graph
    again = moved.n_steps - graph.n_operators
    text = f"{counted(graph.n_operators, 'operator')} in {counted(moved.n_steps, 'step')}"
    if again:
        text += f", {counted(again, 'of them a further run', 'of them further runs')}"
    empty = _empty_banks(moved)
    note = view.problem.capacity_note
    return sentences(
        f"{text}; {counted(graph.n_tensors, 'tensor')} in "
        f"{counted(len(view.plan.tensor), 'residency', 'residencies')}.",
        f"The capacity is {note}." if note else "",
        f"Nothing is in {', '.join(empty)}." if empty else "",
    )


def _empty_banks(moved: Transfers) -> list[str]:
    """Return the banks that hold nothing, and so have no map."""
    used, banks = moved.used_banks.tolist(), moved.problem.options.banks
    return [f"bank {name}" for b, (name, _) in enumerate(banks) if b not in used]


def _traffic_text(moved: Transfers) -> str:
    parts = []
    options = moved.problem.options
    costs = [("a loaded", options.read_cost), ("a written", options.write_cost)]
    if options.streamable:
        costs.append(("a streamed", options.streaming_cost))
    if {cost for _, cost in costs} != {1}:
        each = ", ".join(f"{name} byte {cost}" for name, cost in costs)
        parts.append(f"Costs: {each}.")
    remade = int(moved.remade.sum())
    if remade:
        size = words(int(moved.size[moved.remade].sum()), "bytes")
        parts.append(f"{counted(remade, 'tensor')} made again instead of reloaded, {size}.")
    return sentences(*parts)


def _front_section(view: View, moved: Transfers) -> Section:
    title = "Capacity and extra traffic"
    figure = front_figure(view, moved)
    if figure is None:
        text = "With several banks there is no one capacity to compare with."
        return Section("front", title, text)
    text = "" if front_of(view) else f"For all capacities: {HOW}."
    return Section("front", title, text, (figure,))
