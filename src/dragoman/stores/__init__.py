"""The zone's database: tables, one writer, many readers, migrations."""
