"""`geomtrs doctor`: what this machine has and lacks."""

from __future__ import annotations

from geomtrs.cli.options import Debug


def doctor(debug: Debug = False) -> int:
    """Check drivers, weights, processor and GPU; each lack comes with its remedy.

    [bold]geomtrs doctor[/bold]
    """
    from geomtrs.doctor import examine

    findings = examine()
    for finding in findings:
        mark = {"ok": "ok     ", "note": "note   ", "lack": "LACKING"}[finding.state]
        print(f"{mark}  {finding.what:22} {finding.found}" + (f"  → {finding.remedy}" if finding.remedy else ""))
    return 1 if any(f.state == "lack" for f in findings) else 0
