"""The demo's study: BUS-BRA pictures as a scanner would send them, and its sender."""
