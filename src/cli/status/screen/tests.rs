//! The screen against the stored one.

use super::*;
use crate::stats::example::{assert_expected, snapshot};

#[test]
fn the_screen_is_as_stored() {
    assert_expected("status.txt", &render(&snapshot(), false));
}

#[test]
fn colours_change_nothing_but_the_colour() {
    let coloured = render(&snapshot(), true);
    assert!(coloured.contains("\x1b[32mup\x1b[0m"), "{coloured}");
    let mut plain = String::new();
    let mut rest = coloured.as_str();
    while let Some((before, after)) = rest.split_once("\x1b[") {
        plain.push_str(before);
        rest = after.split_once('m').unwrap().1;
    }
    plain.push_str(rest);
    assert_eq!(plain, render(&snapshot(), false));
}

#[test]
fn a_check_cannot_move_the_cursor() {
    let mut snapshot = snapshot();
    snapshot.pools[0].servers[0].check.as_mut().unwrap().detail = "a\x1b[2Jb\nc".to_owned();
    let text = render(&snapshot, false);
    assert!(text.contains("a [2Jb c\n"), "{text}");
}
