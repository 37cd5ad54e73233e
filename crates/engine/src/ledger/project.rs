//! What a batch of entries means for the database: counts and sums, so that control pays once per batch.
