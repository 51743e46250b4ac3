// SPDX-License-Identifier: Apache-2.0

use super::*;

#[test]
fn the_text_is_that_of_the_format() {
    let registry = Registry::new();
    registry.counter("a_total", "Line\none, back\\slash.").add(3);
    let kinds = registry.counters("b_total", "B.", ["x", "y"]);
    kinds.with(["quote\"", "new\nline\\"]).inc();
    kinds.with(["1", "2"]).add(7);
    registry.gauge("c", "C.").set(-4);
    registry.gauge_of("d", "D.", || vec![(vec![("k", "v".to_owned())], 0.5)]);
    let times = registry.histogram("e_seconds", "E.", &[0.001, 0.5]);
    for milliseconds in [1, 2, 500, 501] {
        times.observe(Duration::from_millis(milliseconds));
    }
    assert_eq!(times.count(), 4);
    let expected = r#"# HELP a_total Line\none, back\\slash.
# TYPE a_total counter
a_total 3
# HELP b_total B.
# TYPE b_total counter
b_total{x="1",y="2"} 7
b_total{x="quote\"",y="new\nline\\"} 1
# HELP c C.
# TYPE c gauge
c -4
# HELP d D.
# TYPE d gauge
d{k="v"} 0.5
# HELP e_seconds E.
# TYPE e_seconds histogram
e_seconds_bucket{le="0.001"} 1
e_seconds_bucket{le="0.5"} 3
e_seconds_bucket{le="+Inf"} 4
e_seconds_sum 1.004
e_seconds_count 4
"#;
    assert_eq!(registry.render(), expected);
}

#[test]
fn a_family_does_not_grow_without_end() {
    let registry = Registry::new();
    let family = registry.counters("many_total", "Many.", ["n"]);
    for n in 0..SERIES_MAX + 10 {
        family.with([&n.to_string()]).inc();
    }
    // Those that were there before are still told apart.
    family.with(["0"]).inc();
    let text = registry.render();
    assert_eq!(text.lines().count(), 2 + SERIES_MAX + 1);
    assert!(text.contains("many_total{n=\"other\"} 10\n"), "{text}");
    assert!(text.contains("many_total{n=\"0\"} 2\n"), "{text}");
}

#[test]
fn long_values_are_cut_and_not_within_a_character() {
    let family = Family::new(["x"], Counter::default);
    family.with([&"é".repeat(LABEL_BYTES_MAX)]).inc();
    family.each(|labels, _| assert_eq!(labels[0].1, "é".repeat(LABEL_BYTES_MAX / 2)));
}

#[test]
fn a_name_is_shown_once() {
    let registry = Registry::new();
    registry.counter("twice_total", "First.").inc();
    registry.counter("twice_total", "Second.").add(5);
    assert_eq!(
        registry.render(),
        "# HELP twice_total First.\n# TYPE twice_total counter\ntwice_total 1\n"
    );
}

#[test]
fn a_gauge_counts_those_inside() {
    let gauge = Gauge::default();
    let (first, second) = (gauge.enter(), gauge.enter());
    assert_eq!(gauge.get(), 2);
    drop(first);
    assert_eq!(gauge.get(), 1);
    drop(second);
    assert_eq!(gauge.get(), 0);
}

#[test]
fn the_kernel_says_what_the_process_uses() {
    let registry = Registry::new();
    HttpMetrics::new(&registry, "test", "1.2.3");
    let text = registry.render();
    let value = |name: &str| -> f64 {
        let line = text.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        line.trim().parse().unwrap()
    };
    assert!(value("process_resident_memory_bytes ") > 1e5);
    assert!(value("process_open_fds ") > 2.0);
    assert!(value("process_cpu_seconds_total ") >= 0.0);
    assert!(value("process_start_time_seconds ") > 1.6e9);
    assert!(text.contains("build_info{service=\"test\",version=\"1.2.3\"} 1\n"), "{text}");
}
