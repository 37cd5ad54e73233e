"""Facts to decision over packs: pure, without clock or I/O (loading packs apart)."""
