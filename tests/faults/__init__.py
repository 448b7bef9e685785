"""Faults thrown at real runs: kills, bad networks, full disks, damaged and hostile files."""
