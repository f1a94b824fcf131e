"""The verb ``hardware``: list, show, check, diff, new, schema."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from roofline.cli.console import choice, refuse, tell
from roofline.errors import SpecError

hardware_app = typer.Typer(help="The devices: list, show, check, diff, new, schema.")

JsonFlag = Annotated[bool, typer.Option("--json", help="Print JSON in SI base units.")]


@hardware_app.command("list")
def hardware_list(
    vendor: Annotated[str | None, typer.Option(help="Of this vendor.")] = None,
    kind: Annotated[str | None, typer.Option(help="gpu, apu, soc, cpu, tpu, npu or system.")] = None,
    memory: Annotated[str | None, typer.Option(help="Sold with at least so much, 80GiB.")] = None,
    dtype: Annotated[str | None, typer.Option(help="With this dtype, whose peaks are shown.")] = None,
    sort: Annotated[
        str | None, typer.Option(help="bandwidth, memory, peak, ridge, price, tdp, or a path in a spec.")
    ] = None,
    announced: Annotated[bool, typer.Option("--announced", help="With parts that are only announced.")] = False,
    json: JsonFlag = False,
) -> None:
    """All devices: memory, bandwidth, peak, ridge point."""
    from roofline.hardware.loading import load_every_hardware
    from roofline.hardware.selection import select, sort_by
    from roofline.hardware.systems import load_every_system
    from roofline.reports import hardware as report_hardware
    from roofline.units import parse_quantity

    if kind == "system":
        if given := [
            flag for flag, value in (("vendor", vendor), ("memory", memory), ("dtype", dtype), ("sort", sort)) if value
        ]:
            refuse(f"--{given[0]} does not go with --kind system")
        systems = load_every_system()
        _out(json, {s.name: s.to_dict() for s in systems}, lambda: report_hardware.system_table(systems))
        return
    least = None if memory is None else parse_quantity(memory, "bytes")
    every = load_every_hardware()
    found = select(every, vendor=vendor, kind=kind, memory=least, dtype=dtype, announced=announced)
    found = sort_by(found, sort) if sort else found
    left_out = 0 if announced else sum(spec.status == "announced" for spec in every)
    more = f"{left_out} announced devices left out (--announced); " if left_out else ""
    note = ["", f"{more}boxes and cloud shapes: roofline hardware list --kind system"]
    chosen = dtype.lower() if dtype else None
    _out(json, {s.name: s.to_dict() for s in found}, lambda: [*report_hardware.hardware_table(found, chosen), *note])


@hardware_app.command("show")
def hardware_show(
    name: Annotated[str, typer.Argument(help="A device or a system: name, alias, YAML file, or a count: 8xh100.")],
    json: JsonFlag = False,
) -> None:
    """One device or system: every fact with its source."""
    from roofline.hardware.library import parted, read_fields
    from roofline.hardware.loading import load_hardware
    from roofline.hardware.systems import load_system
    from roofline.reports import hardware as report_hardware

    count, what = parted(name)
    if count == 1 and "device" not in read_fields(what)[0]:
        spec = load_hardware(what)
        _out(json, spec.to_dict(), lambda: report_hardware.hardware_page(spec))
    else:
        system = load_system(name)
        _out(json, system.to_dict(), lambda: report_hardware.system_page(system))


@hardware_app.command("check")
def hardware_check(files: Annotated[list[Path], typer.Argument(help="YAML files of devices or systems.")]) -> None:
    """The loader's checks on your own files: every problem with its line; exit 3 if there is one."""
    from roofline.calibration.review import review_file, unverified_values
    from roofline.hardware.library import read_fields
    from roofline.hardware.loading import load_hardware

    wrong = 0
    for file in files:
        found = review_file(file)
        wrong += bool(found)
        if found:
            tell("\n".join(found))
            continue
        guessed = [] if "device" in read_fields(file)[0] else unverified_values(load_hardware(file))
        few = f"; {len(guessed)} values are unverified, such as {', '.join(guessed[:3])}" if guessed else ""
        tell(f"{file}: good{few}")
    if wrong:
        msg = f"{wrong} of {len(files)} files would be refused; mend the lines above"
        raise SpecError(msg)


@hardware_app.command("diff")
def hardware_diff(
    one: Annotated[str, typer.Argument(help="A device.")],
    other: Annotated[str, typer.Argument(help="Another.")],
    json: JsonFlag = False,
) -> None:
    """Two devices side by side, with ratios and ridge points."""
    from roofline.hardware.loading import load_hardware
    from roofline.reports import hardware as report_hardware

    a, b = load_hardware(one), load_hardware(other)
    both = report_hardware.differences(a, b)
    _out(json, report_hardware.differences_to_dict(a, b, both), lambda: report_hardware.difference_table(a, b, both))


@hardware_app.command("new")
def hardware_new(
    name: Annotated[str, typer.Argument(help="The new device, lower case and hyphens: my-gpu.")],
    template: Annotated[str, typer.Option("--from", help="A device whose figures to start from.")] = "h100",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="The file.  [default: NAME.yaml]")] = None,
) -> None:
    """A commented spec to fill in."""
    from roofline.files.atomic import atomic_writer
    from roofline.hardware.template import new_spec

    text = new_spec(name, template)
    path = output or Path(f"{name}.yaml")
    if path.suffix not in (".yaml", ".yml"):
        refuse(f"-o {path}: expected a name that ends in .yaml")
    if path.exists():
        msg = f"{path}: exists; name another file with -o"
        raise SpecError(msg)
    with atomic_writer(path) as file:
        file.write(text)
    tell(f"{path}: figures of {template}, to be replaced\nroofline hardware check {path}")


@hardware_app.command("schema")
def hardware_print_schema(
    of: Annotated[str, typer.Argument(help="device or system.")] = "device",
) -> None:
    """The JSON Schema of a file, for editors."""
    from roofline.hardware.schema import schema_text

    tell(schema_text(choice("schema", of, "device", "system")).rstrip())


def _out(json: bool, fields: dict[str, Any], lines: Any) -> None:
    from roofline.reports import prediction as report

    tell(report.to_json(fields) if json else "\n".join(lines()))
