//! Free ports for processes that are started.

use anyhow::{Context as _, bail};
use rustix::rand::{GetRandomFlags, getrandom};
use std::net::{Ipv4Addr, TcpListener};

/// The first port that is tried. The kernel gives higher ones to connections, so a port from there may be taken at any time.
const FIRST: u16 = 20_000;
/// Number of ports that are tried.
const RANGE: u16 = 10_000;
/// Attempts before giving up.
const ATTEMPTS: u32 = 100;

/// Returns the first of `count` neighbouring ports that nobody uses on the loopback interface.
///
/// # Errors
/// No such ports are found.
pub(super) fn free(count: u32) -> anyhow::Result<u16> {
    let count = u16::try_from(count)?;
    for _ in 0..ATTEMPTS {
        let mut bytes = [0; 2];
        getrandom(&mut bytes, GetRandomFlags::empty()).context("the kernel gives no random number")?;
        let first = FIRST + u16::from_le_bytes(bytes) % RANGE;
        let listeners = (first..first + count).map(|port| TcpListener::bind((Ipv4Addr::LOCALHOST, port)));
        if listeners.collect::<Result<Vec<_>, _>>().is_ok() {
            return Ok(first);
        }
    }
    bail!("{count} neighbouring ports from {FIRST} on are not free on 127.0.0.1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_ports_can_be_used() {
        let first = free(6).unwrap();
        assert!((FIRST..FIRST + RANGE).contains(&first));
    }

    #[test]
    fn more_ports_than_there_are_is_an_error() {
        assert!(free(70_000).is_err());
    }
}
