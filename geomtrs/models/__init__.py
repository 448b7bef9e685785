"""Change models: one file a family, all behind the protocol of base.py."""
