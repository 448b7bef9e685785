"""Archives: many scenes in one run. Found by place and date, asked one by one, added up; killed, it goes on.

SOURCE ─ discover ─► scenes ─ ledger ─► batch (one `detect` each) ─► merge ─► summary
"""
