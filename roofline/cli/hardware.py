"""The verb ``hardware``: list, show, check, diff, new, schema."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from roofline.cli.console import refuse, show, tell, write_new
from roofline.errors import SpecError
from roofline.options.groups import JsonOutput
from roofline.options.verbs.libraries import HardwareCheckFlags, HardwareListFlags, HardwareNewFlags


def hardware_list(text: str | None, flags: HardwareListFlags) -> None:
    """All devices, or those that match: memory, bandwidth, peak, ridge point."""
    from roofline.hardware.loading import load_every_hardware
    from roofline.hardware.selection import named, select, sort_by
    from roofline.hardware.systems import load_every_system
    from roofline.reports import hardware as report_hardware
    from roofline.units import parse_quantity

    json, memory, dtype, sort = flags["json"], flags["memory"], flags["dtype"], flags["sort"]
    announced = flags["announced"]
    if flags["kind"] == "system":
        if given := [name for name in ("vendor", "memory", "dtype", "sort") if flags.get(name)]:
            refuse(f"--{given[0]} does not go with --kind system")
        systems = [system for system in load_every_system() if named(system, text)]
        _out(json, {s.name: s.to_dict() for s in systems}, lambda: report_hardware.system_table(systems))
        return
    least = None if memory is None else parse_quantity(memory, "bytes")
    every = load_every_hardware()
    asked = {"vendor": flags["vendor"], "kind": flags["kind"], "dtype": dtype}
    found = select(every, text=text, memory=least, announced=announced, **asked)
    if not any(named(spec, text) for spec in every):
        msg = f"no device has {text!r} in its name, title or an alias; systems: --kind system (roofline hardware list)"
        raise SpecError(msg)
    found = sort_by(found, sort) if sort else found
    left_out = 0 if announced else sum(spec.status == "announced" and named(spec, text) for spec in every)
    more = f"{left_out} announced devices left out (--announced); " if left_out else ""
    note = ["", f"{more}boxes and cloud shapes: roofline hardware list --kind system"]
    chosen = dtype.lower() if dtype else None
    _out(json, {s.name: s.to_dict() for s in found}, lambda: [*report_hardware.hardware_table(found, chosen), *note])


def hardware_show(name: str, flags: JsonOutput) -> None:
    """One device or system: every fact with its source."""
    from roofline.hardware.library import parted, read_fields
    from roofline.hardware.loading import load_hardware
    from roofline.hardware.systems import load_system
    from roofline.reports import hardware as report_hardware

    count, what = parted(name)
    if count == 1 and "device" not in read_fields(what)[0]:
        spec = load_hardware(what)
        _out(flags["json"], spec.to_dict(), lambda: report_hardware.hardware_page(spec))
    else:
        system = load_system(name)
        _out(flags["json"], system.to_dict(), lambda: report_hardware.system_page(system))


def hardware_check(files: tuple[str, ...], flags: HardwareCheckFlags) -> None:
    """The loader's checks on your own files: every problem with its line; exit 3 if there is one.

    With --older, which prices and engine files of the library are past their date.
    """
    from roofline.calibration.review import review_file, unverified_values
    from roofline.hardware.library import read_fields
    from roofline.hardware.loading import load_hardware

    if flags["older"] is not None:
        _show_stale(flags["older"])
    elif not files:
        refuse("hardware check: expected files, or --older such as 180d for the library's own prices and engines")
    wrong = 0
    for file in map(Path, files):
        found = review_file(file)
        wrong += bool(found)
        if found:
            show("\n".join(found))
            continue
        guessed = [] if "device" in read_fields(file)[0] else unverified_values(load_hardware(file))
        few = f"; {len(guessed)} values are unverified, such as {', '.join(guessed[:3])}" if guessed else ""
        show(f"{file}: good{few}")
    if wrong:
        msg = f"{wrong} of {len(files)} files would be refused; mend the lines above"
        raise SpecError(msg)


def _show_stale(older: str) -> None:
    from roofline.engines.library import load_every_engine
    from roofline.files.ages import read_days
    from roofline.hardware.loading import load_every_hardware
    from roofline.hardware.systems import load_every_system
    from roofline.reports.hardware import stale_table

    engines = load_every_engine()
    show("\n".join(stale_table([*load_every_hardware(), *load_every_system()], engines, read_days(older))))


def hardware_diff(one: str, other: str, flags: JsonOutput) -> None:
    """Two devices side by side, with ratios and ridge points."""
    from roofline.hardware.facts import differences
    from roofline.hardware.loading import load_hardware
    from roofline.reports import hardware as report_hardware

    found = differences(load_hardware(one), load_hardware(other))
    _out(flags["json"], found.to_dict(), lambda: report_hardware.difference_table(found))


def hardware_new(name: str, flags: HardwareNewFlags) -> None:
    """A commented spec to fill in."""
    from roofline.hardware.template import new_spec

    template = flags["template"]
    path = flags["output"] or Path(f"{name}.yaml")
    write_new(path, new_spec(name, template))
    tell(f"{path}: figures of {template}, to be replaced\nroofline hardware check {path}")


def hardware_print_schema(of: str | None) -> None:
    """The JSON Schema of a file, for editors."""
    from roofline.hardware.schema import schema_text

    known: dict[str, Literal["device", "system"]] = {"device": "device", "system": "system"}
    kind = known.get(of or "device")
    if kind is None:
        refuse(f"schema {of!r}: expected device or system")
    tell(schema_text(kind).rstrip())


def _out(json: bool, fields: dict[str, Any], lines: Callable[[], Iterable[str]]) -> None:
    from roofline.reports import prediction as report

    show(report.to_json(fields) if json else "\n".join(lines()))
