//! promtool and prometheus as readers.

use std::process::{Command, Output, Stdio};

use serde_json::Value;

use crate::network::{body, enter, get, until};
use crate::node::{HTTP, POOLS, Program, ROUTER, Warren, serve};
use crate::skip::skip;

/// Runs promtool; `None`, said as a skip, when it is missing.
fn promtool(arguments: &[&str], folder: &str, input: &str) -> Option<Output> {
    use std::io::Write;
    let started = Command::new("promtool")
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn();
    let Ok(mut child) = started else {
        skip("promtool is not installed");
        return None;
    };
    let mut stdin = child.stdin.take().unwrap();
    // It may end before it has read everything.
    let _ = stdin.write_all(input.as_bytes());
    drop(stdin);
    Some(child.wait_with_output().unwrap())
}

#[test]
fn promtool_has_nothing_against_the_metrics_but_a_name_of_haproxys() {
    if !enter() {
        return;
    }
    serve(5682);
    let _warren = Warren::ready(&format!("{POOLS}{ROUTER}"));
    let text = body(HTTP, "/metrics");
    assert!(text.contains("warren_vrrp_state{virtual_router=\"amqp\",state=\"master\"} "));
    let Some(output) = promtool(&["check", "metrics"], "/", &text) else {
        return;
    };
    let said =
        String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    let known = "haproxy_process_failed_resolutions counter metrics should have \"_total\" suffix";
    assert_eq!(said.trim(), known);
}

#[test]
fn every_alert_fires_when_it_should_and_only_then() {
    let home = tempfile::tempdir().unwrap();
    let root = env!("CARGO_MANIFEST_DIR");
    for (from, to) in [
        ("conf/alerts.yml", "rules.yml"),
        ("tests/http/alerts.yml", "alerts.yml"),
    ] {
        std::fs::copy(format!("{root}/{from}"), home.path().join(to)).unwrap();
    }
    let folder = home.path().to_str().unwrap();
    for arguments in [
        ["check", "rules", "rules.yml"],
        ["test", "rules", "alerts.yml"],
    ] {
        let Some(output) = promtool(&arguments, folder, "") else {
            return;
        };
        assert!(output.status.success(), "{output:?}");
    }
    // Each has a case in which it fires, and one in which it does not.
    let tests = include_str!("alerts.yml");
    let rules = include_str!("../../conf/alerts.yml");
    let alerts: Vec<_> = rules
        .lines()
        .filter_map(|line| line.trim().strip_prefix("- alert: "))
        .collect();
    assert!(alerts.len() >= 10);
    for alert in alerts {
        assert!(
            tests.contains(&format!("alertname: {alert}\n        exp_alerts:\n")),
            "{alert}"
        );
        assert!(
            tests.contains(&format!("20m, alertname: {alert} }}")),
            "{alert}"
        );
    }
}

/// Every expression of the dashboard and the alerts, with what Grafana fills in.
fn expressions() -> Vec<String> {
    let dashboard: Value = serde_json::from_str(include_str!("../../conf/grafana.json")).unwrap();
    let panels = dashboard["panels"].as_array().unwrap();
    let mut expressions: Vec<String> = panels
        .iter()
        .flat_map(|panel| panel["targets"].as_array().unwrap())
        .chain(dashboard["annotations"]["list"].as_array().unwrap())
        .map(|target| target["expr"].as_str().unwrap().to_owned())
        .collect();
    assert!(expressions.len() > 30, "{}", expressions.len());
    for variable in dashboard["templating"]["list"].as_array().unwrap() {
        if let Some(values) = variable["definition"].as_str() {
            let inner = values.strip_prefix("label_values(").unwrap();
            expressions.push(inner.split(',').next().unwrap().to_owned());
        }
    }
    for expression in &mut expressions {
        for (variable, value) in [
            ("$__rate_interval", "1m"),
            ("$instance", ".*"),
            ("$pool", ".*"),
        ] {
            *expression = expression.replace(variable, value);
        }
        assert!(!expression.contains('$'), "{expression}");
    }
    expressions
}

/// The names of metrics in an expression: what stands before a brace, or a comparison of the rules.
fn metrics(expression: &str) -> Vec<&str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words
        .filter(|word| {
            let families = ["warren_", "haproxy_", "process_"];
            families.iter().any(|family| word.starts_with(family))
        })
        .collect()
}

#[test]
fn prometheus_reads_every_metric_that_dashboard_and_alerts_name() {
    if !enter() {
        return;
    }
    serve(5682);
    let _warren = Warren::ready(&format!("{POOLS}{ROUTER}"));
    let home = tempfile::tempdir().unwrap();
    let file = home.path().join("prometheus.yml");
    let text = format!(
        "global: {{ scrape_interval: 1s, evaluation_interval: 1s }}\n\
         rule_files: [ {}/conf/alerts.yml ]\n\
         scrape_configs:\n- job_name: warren\n  \
         static_configs: [ {{ targets: [ '{HTTP}' ] }} ]\n",
        env!("CARGO_MANIFEST_DIR")
    );
    std::fs::write(&file, text).unwrap();
    let mut command = Command::new("prometheus");
    command
        .arg(format!("--config.file={}", file.display()))
        .arg(format!(
            "--storage.tsdb.path={}",
            home.path().join("data").display()
        ))
        .arg("--web.listen-address=127.0.0.1:9090");
    let Some(_prometheus) = Program::start(&mut command, home.path()) else {
        return;
    };
    let query = |expression: &str| -> Option<Value> {
        let encoded: String = expression
            .bytes()
            .map(|byte| format!("%{byte:02x}"))
            .collect();
        let (_, _, body) = get("127.0.0.1:9090", &format!("/api/v1/query?query={encoded}"))?;
        serde_json::from_str(&body).ok()
    };
    let found = |answer: &Value| {
        answer["data"]["result"]
            .as_array()
            .is_some_and(|r| !r.is_empty())
    };
    until("two samples", || {
        let answer = query("count_over_time(warren_ready[1m]) >= 2 and up == 1")?;
        found(&answer).then_some(())
    });
    let rules = include_str!("../../conf/alerts.yml");
    let mut named: Vec<&str> = metrics(rules);
    named.retain(|name| !name.ends_with("_"));
    let expressions = expressions();
    for expression in &expressions {
        let answer = query(expression).unwrap();
        assert_eq!(answer["status"], "success", "{expression}: {answer}");
        named.extend(metrics(expression));
    }
    named.sort_unstable();
    named.dedup();
    assert!(named.len() > 35, "{named:?}");
    for name in named {
        assert!(found(&query(name).unwrap()), "{name} is not there");
    }
    // And it has read the rules.
    let (_, _, rules) = get("127.0.0.1:9090", "/api/v1/rules").unwrap();
    assert!(
        rules.contains("WarrenTwoMasters") && !rules.contains("\"health\":\"err\""),
        "{rules}"
    );
}
