//! `show schema json`: what is shown as JSON, judged by an outside program.

use std::process::{Command, Stdio};

use crate::balancer::{Balancer, Servers};
use crate::skip::skip;

/// Validates files named on the command line, the first of which is the schema.
const JUDGE: &str = "
import json, sys
from jsonschema import Draft4Validator
schema, *others = [json.load(open(name)) for name in sys.argv[1:]]
Draft4Validator.check_schema(schema)
for other in others:
    Draft4Validator(schema).validate(other)
";

fn is_missing() -> bool {
    let mut python = Command::new("python3");
    let probe = python
        .args(["-c", "import jsonschema"])
        .stderr(Stdio::null());
    !probe.status().is_ok_and(|status| status.success())
}

#[test]
fn what_is_shown_as_json_is_as_its_schema_says() {
    if is_missing() {
        return skip("python3-jsonschema is not installed");
    }
    let warren = Balancer::warren(&Servers::start());
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| {
        let path = folder.path().join(name);
        std::fs::write(&path, text).unwrap();
        path
    };
    let schema = write("schema", &warren.ask_line("show schema json"));
    let info = warren.ask_line("show info json");
    let stat = warren.ask_line("show stat json");
    let judge = |texts: &[&str]| {
        let files = texts.iter().enumerate();
        let files = files.map(|(number, text)| write(&format!("{number}"), text));
        let mut python = Command::new("python3");
        python.args(["-c", JUDGE]).arg(&schema).args(files);
        python.stderr(Stdio::null()).status().unwrap().success()
    };
    assert!(judge(&[&info, &stat]));
    // It does not let everything through.
    for (before, after) in [
        ("\"nature\":\"Gauge\"", "\"nature\":\"Gouge\""),
        ("\"processNum\":1", "\"processNum\":0"),
        ("\"tags\"", "\"togs\""),
    ] {
        assert!(!judge(&[&info.replace(before, after)]), "{after}");
        assert!(!judge(&[&stat.replace(before, after)]), "{after}");
    }
    assert!(!judge(&[&stat.replace("\"objType\"", "\"kind\"")]));
}
