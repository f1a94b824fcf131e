"""The verb ``simulate``: percentiles under load."""

from __future__ import annotations

from functools import partial

from roofline.cli import plot as cli_plot
from roofline.cli.console import refuse, show, tell, warn, write_answer
from roofline.cli.traced import model_of
from roofline.options.groups import Tracing
from roofline.options.keywords import part
from roofline.options.verbs.serving import JobOptions, SimulateFlags


def simulate(model: str, flags: SimulateFlags) -> None:
    """Percentiles of TTFT, TPOT and latency under a load: an engine's scheduler and cache, request by request."""
    if flags["hardware"] is None:
        refuse("--hardware is missing; try h100, or 8xh100 (roofline hardware list)")
    from roofline.reports.export import check_output

    if flags["output"] is not None:
        check_output(flags["output"])
    if flags["plot"] is not None:
        cli_plot.check(flags["plot"])
    from roofline.buying import api as buying
    from roofline.reports.prediction import to_json
    from roofline.reports.serving.simulation import simulation_rows, simulation_text

    meant = model_of(model, part(Tracing, flags), generating=True)
    found = buying.simulate(meant, flags["hardware"], **part(JobOptions, flags))
    for warning in found.deployment.clock.request.model.warnings:
        warn(warning)
    write_answer(found.to_dict, partial(simulation_rows, found), flags["output"])
    if flags["plot"] is not None:
        cli_plot.plot_simulation(found, flags["plot"])
    if flags["json"]:
        tell(to_json(found.to_dict()))
    elif flags["output"] is None:
        show(simulation_text(found, quiet=flags["quiet"]))
