//! A result on disk: its schema and its directory.
