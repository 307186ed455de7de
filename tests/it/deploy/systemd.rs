//! `deploy/systemd`. systemd itself reads the unit and says how exposed it is; nothing is started.

use super::{file, found, said};
use crate::support::program;
use observatory::cli::EXIT_CODES;
use std::{fs, process::Command};

const UNIT: &str = "deploy/systemd/observatory.service";

#[test]
fn systemd_takes_the_unit() {
    let Some(analyze) = program("systemd-analyze") else { return };
    let dir = tempfile::tempdir().unwrap();
    let unit = dir.path().join("observatory.service");
    // The program is not installed here.
    let own = format!("ExecStart={} ", env!("CARGO_BIN_EXE_observatory"));
    let text = file(UNIT).replace("ExecStart=/usr/bin/observatory ", &own);
    assert!(text.contains(&own));
    fs::write(&unit, &text).unwrap();
    let verify = |unit: &std::path::Path| {
        let mut command = Command::new(&analyze);
        command.args(["verify", "--man=no", "--recursive-errors=no"]).arg(unit);
        command.output().unwrap()
    };
    let output = verify(&unit);
    said(&output);
    assert!(output.stderr.is_empty(), "{output:?}");
    // It finds something.
    fs::write(&unit, text.replace("ProtectSystem=strict", "ProtectSystem=very")).unwrap();
    assert!(!verify(&unit).stderr.is_empty());
}

/// 0 is locked up, 10 is wide open; 9.6 is what a unit without any of this has.
#[test]
fn the_unit_is_locked_up() {
    let Some(analyze) = program("systemd-analyze") else { return };
    let mut command = Command::new(analyze);
    command.args(["security", "--offline=true", "--no-pager", "--threshold=15"]);
    said(&command.arg(super::root().join(UNIT)).output().unwrap());
}

/// A restart mends neither a wrong command line nor a bad configuration nor a damaged store.
#[test]
fn hopeless_ends_are_final() {
    let text = file(UNIT);
    let line = found("(?m)^RestartPreventExitStatus=(.*)$", &text);
    let codes: Vec<u8> = line.first().unwrap().split(' ').map(|it| it.parse().unwrap()).collect();
    assert_eq!(codes, [2, 64, 73]);
    for code in codes {
        assert!(EXIT_CODES.iter().any(|it| it.0 == code), "{code}");
    }
    let stop = found("(?m)^TimeoutStopSec=([0-9]+)s$", &text);
    assert!(stop.first().unwrap().parse::<u32>().unwrap() > 30, "shutdown.grace is 30s");
}
