"""report.md, report.html and the pictures of a bench. Sole importer of jinja2."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import jinja2

from parakeet_coreml.bench import cascade, pictures
from parakeet_coreml.bench.figures import Estimate, Spread, percentile
from parakeet_coreml.bench.findings import LATENCIES, Finding, Pair, find, pairs
from parakeet_coreml.bench.kept import Recording
from parakeet_coreml.bench.machine import BUSY
from parakeet_coreml.bench.results import Results, Row
from parakeet_coreml.bench.scoring import Scorer
from parakeet_coreml.errors import StorageError, UsageError

Table = list[list[str]]

DISTURBED = 0.05
"""Share of disturbed runs up to which the machine is not called busy."""

MARKDOWN = """\
# {{ title }}

{% for line in facts %}* {{ line }}
{% endfor %}{% for name, table in tables %}
## {{ name }}

{% for row in table %}| {{ row | join(" | ") }} |
{% if loop.first %}|{% for _ in row %}---|{% endfor %}
{% endif %}{% endfor %}{% endfor %}
## Pictures
{% for name, file, _ in pictures %}
![{{ name }}]({{ file }})
{% endfor %}"""

HTML = """\
<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{{ title }}</title>
<style>
body { font: 15px/1.5 system-ui, sans-serif; max-width: 72rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse } td, th { border: 1px solid #cbd5e1; padding: .2rem .6rem }
th { background: #f1f5f9; text-align: left } svg { max-width: 100%; height: auto }
</style></head><body>
<h1>{{ title }}</h1>
{% for line in facts %}<p>{{ line | replace("`", "") }}</p>
{% endfor %}
{% for name, table in tables %}<h2>{{ name }}</h2>
<table>{% for row in table %}
<tr>{% set tag = "th" if loop.first else "td" %}
{% for cell in row %}<{{ tag }}>{{ cell }}</{{ tag }}>{% endfor %}</tr>{% endfor %}
</table>
{% endfor %}
{% for name, _, svg in pictures %}<h2>{{ name }}</h2>
{{ svg[svg.index("<svg"):] | safe }}
{% endfor %}</body></html>
"""


def write(results: Results, folder: Path, scorer: Scorer) -> list[Path]:
    """Write the report of a bench to a folder, and return its files.

    Raises `UsageError` where no run has ended yet, `StorageError` where it cannot be written.
    """
    if not results.measured:
        raise UsageError("no run has ended yet, so there is nothing to report")
    findings = find(results, scorer)
    between = pairs(findings, scorer, int(results.plan["what"]["seed"]))
    drawn = _pictures(findings, results)
    context = {
        "title": f"parakeet-coreml bench, {results.plan['machine']['date'][:10]}",
        "facts": facts(results),
        "tables": [(name, table) for name, table in _tables(findings, between) if len(table) > 1],
        "pictures": drawn,
    }
    files = {"report.md": _filled(MARKDOWN, context, html=False)}
    files["report.html"] = _filled(HTML, context, html=True)
    files |= {file: svg for _, file, svg in drawn}
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
    except OSError as error:
        raise StorageError(f"cannot write to '{folder}': {error.strerror}") from error
    return [folder / name for name in files]


def _filled(template: str, context: Mapping[str, object], *, html: bool) -> str:
    # Markdown is text: what would be escaped there is read by people as it is.
    environment = jinja2.Environment(autoescape=html, undefined=jinja2.StrictUndefined)  # noqa: S701
    return environment.from_string(template).render(context)


def facts(results: Results) -> list[str]:
    """Return what a reader must know to repeat it, and what to distrust."""
    plan, machine = results.plan, results.plan["machine"]
    measured = results.measured
    libraries = ", ".join(f"{name} {number}" for name, number in machine["libraries"].items())
    names = len({row["name"] for row in measured})
    cores = f"{machine['cores']} cores of {machine['processor']}"
    os = f"{machine['system']}, Python {machine['python']}, {machine['date']}"
    found = [
        f"Command: `{plan['command']}`",
        f"Machine: {cores}, {machine['memory_gb']} GB, {os}",
        f"Versions: parakeet-coreml {machine['version']}, {libraries}",
        f"Recordings: {names} of {plan['data']}, seed {plan['what']['seed']}, {len(measured)} runs",
        _load(measured),
    ]
    for name, files in plan["models"].items():
        hashes = ", ".join(f"{file} {digest[:12]}" for file, digest in files.items())
        found.append(f"Model {name} (SHA-256): {hashes}")
    if any(row["variant"]["backend"] == "coreml" for row in measured) and not machine["macos"]:
        found.append(
            "coreml is the reference evaluator here, not Core ML: its words count, not its times."
        )
    return found


def noted(results: Results) -> str:
    """Return when and where, for the corner of a picture."""
    machine = results.plan["machine"]
    busy = ", busy" if _is_busy(results.measured) else ""
    place = f"{machine['cores']} cores of {machine['processor']}, {machine['system']}{busy}"
    return f"{machine['date'][:10]}, {place}, parakeet-coreml {machine['version']}"


def _load(measured: Sequence[Row]) -> str:
    """Say how busy the machine was with other things."""
    busy = sum(bool(row["busy"]) for row in measured)
    others = percentile([row["others_cores"] for row in measured], 0.5)
    found = f"in {busy} of {len(measured)} runs others used more than {BUSY} cores "
    found += f"(median {others:.2f})"
    if _is_busy(measured):
        return f"BUSY MACHINE: {found}; times are not to be trusted, only ratios within the run"
    return f"Load: {found}"


def _is_busy(measured: Sequence[Row]) -> bool:
    """Whether so many runs were disturbed that a p95 may be of them alone."""
    return sum(bool(row["busy"]) for row in measured) > DISTURBED * len(measured)


def _tables(findings: Sequence[Finding], between: Sequence[Pair]) -> list[tuple[str, Table]]:
    return [
        ("Words", _words(findings)),
        ("Between two", _between(between)),
        ("Latency, ms", _latencies(findings)),
        ("Cost", _costs(findings)),
        ("What went wrong", _failures(findings)),
    ]


def _words(findings: Sequence[Finding]) -> Table:
    rows = [["", "form", "runtime", "recordings", "words", "WER", "95 % interval"]]
    for finding in findings:
        if finding.wer is not None:
            words = sum(errors.words for errors in finding.errors.values())
            counts = [str(len(finding.errors)), str(words)]
            rows.append([finding.name, finding.form, finding.runtime, *counts, *_rate(finding.wer)])
    return rows


def _rate(estimate: Estimate) -> list[str]:
    return [f"{estimate.value:.2%}", f"{estimate.low:.2%} to {estimate.high:.2%}"]


def _between(between: Sequence[Pair]) -> Table:
    rows = [
        [
            "first",
            "second",
            "recordings",
            "WER, first less second",
            "95 %",
            "differ",
            "agreement WER",
        ]
    ]
    for pair in between:
        differ = "yes" if pair.difference.differs else "not shown"
        figures = [str(pair.recordings), *_rate(pair.difference), differ, f"{pair.agreement:.2%}"]
        rows.append([pair.first, pair.second, *figures])
    return rows


def _latencies(findings: Sequence[Finding]) -> Table:
    rows = [["", "what", "n", "p50", "p95", "p99", "min", "max"]]
    for label in LATENCIES:
        for finding in findings:
            found = finding.latencies[label]
            if found is not None:
                rows.append([finding.name, label, *_spread(found)])
    return rows


def _spread(found: Spread) -> list[str]:
    figures = (found.median, found.p95, found.p99, found.least, found.most)
    return [str(found.n), *(f"{ms:.0f}" for ms in figures)]


def _costs(findings: Sequence[Finding]) -> Table:
    heads = ["", "RTFx (batch 1)", "spawn to model, first run, ms", "recorder, MB", "worker, MB"]
    rows = [[*heads, "CPU s per minute of audio"]]
    for finding in findings:
        figures = (finding.speed, finding.cold, finding.recorder_mb, finding.worker_mb, finding.cpu)
        digits = (0, 0, 0, 0, 2)
        cells = ("" if n is None else f"{n:.{d}f}" for n, d in zip(figures, digits, strict=True))
        rows.append([finding.name, *cells])
    return rows


def _failures(findings: Sequence[Finding]) -> Table:
    rows = [["", "run"]]
    rows += [[finding.name, failure] for finding in findings for failure in finding.failed]
    return rows


def _pictures(findings: Sequence[Finding], results: Results) -> list[tuple[str, str, str]]:
    note = noted(results)
    drawn = [
        *_waterfalls(findings, results, note),
        (
            "Latency against length",
            "bench-length.svg",
            pictures.latency_against_length(findings, note),
        ),
        (
            "Accuracy against latency",
            "bench-accuracy.svg",
            pictures.accuracy_against_latency(findings, note),
        ),
        (
            "Distribution of stops",
            "bench-stops.svg",
            pictures.distribution_of_stops(findings, note),
        ),
    ]
    return [picture for picture in drawn if picture[2]]


def _waterfalls(
    findings: Sequence[Finding], results: Results, note: str
) -> list[tuple[str, str, str]]:
    """Return for each variant the cascade of its run with the median wall time, live if any was."""
    found = []
    for number, finding in enumerate(findings, start=1):
        rows = [row for row in results.measured if row["variant"]["name"] == finding.name]
        well = [row for row in rows if row["exit_code"] == 0]
        played = [row for row in well if row["stop"]] or well
        timed = [row for row in played if recording_of(row) is not None]
        if timed:
            timed.sort(key=lambda row: row["figures"]["wall_ms"])
            recording = recording_of(timed[len(timed) // 2])
            drawn = cascade.svg(recording, note) if recording is not None else ""
            found.append((f"Waterfall, {finding.name}", f"bench-waterfall-{number}.svg", drawn))
    return found


def recording_of(row: Mapping[str, Any]) -> Recording | None:
    """Return the recording that a row kept; None where it was not timed."""
    lines = row["lines"]
    timing = next((line for line in lines if line["type"] == "timing"), None)
    if timing is None:
        return None
    windows = tuple(line for line in lines if line["type"] == "window")
    received = lines[-1]["received_ms"] - timing["epoch_ms"]
    return Recording(str(row["name"]), timing, windows, received)
