"""Speaks: one file a device or protocol; bytes in, typed messages out. Knows neither agent nor sim."""
