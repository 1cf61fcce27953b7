"""The kernel log as text: its records, whatever has saved them, and the OOM reports among them."""
