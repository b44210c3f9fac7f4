//! The workload file: schema, units, errors that point at the mistake.
