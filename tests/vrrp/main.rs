//! Virtual routers on a network: two or three hosts on a bridge, each a network namespace, with
//! warren, Debian's keepalived and FRR, and tshark as the judge of what was sent.
//!
//! Needs root, or a user namespace in which it is root; else every test is reported as skipped.
//! Every test has a network of its own, so that some run at once.

#![expect(
    clippy::unwrap_used,
    reason = "a test that cannot go on should say where"
)]

mod behaviour;
mod crafted;
mod dark;
mod demo;
mod elector;
mod explain;
mod harness;
mod interop;
mod lab;
mod owner;
mod peer;
mod reconfigure;
mod relay;
mod reload;
mod strays;
mod unicast;
mod vip;

use std::process::ExitCode;

use harness::Test;

/// A test and the program that it needs.
macro_rules! test {
    ($needs:expr, $($path:ident)::+) => {
        Test {
            path: stringify!($($path)::+),
            needs: $needs,
            run: $($path)::+,
        }
    };
}

const KEEPALIVED: &str = "keepalived";
const FRR: &str = "/usr/lib/frr/vrrpd";
const NOTHING: &str = "ip";

fn main() -> ExitCode {
    harness::run(&[WARREN, OTHERS].concat())
}

/// warren alone and beside itself.
const WARREN: &[Test] = &[
    // The longest first.
    test!(
        "/usr/bin/python3",
        relay::peers_that_vanish_are_found_and_closed_windows_are_kept
    ),
    test!("/usr/bin/python3", relay::an_outage_of_seconds_ends_nothing),
    test!("/usr/bin/python3", relay::a_server_that_vanishes_is_found),
    test!(
        "/usr/bin/python3",
        relay::without_a_source_port_the_client_goes_elsewhere
    ),
    test!(NOTHING, behaviour::who_wins_and_who_follows),
    test!(NOTHING, behaviour::a_killed_node_loses_the_address),
    test!(
        NOTHING,
        behaviour::a_hung_node_loses_the_address_and_starts_again_as_backup
    ),
    test!("/usr/bin/python3", behaviour::a_removed_address_is_put_back),
    test!(NOTHING, behaviour::a_lost_link_releases_at_once),
    test!(NOTHING, behaviour::an_interface_that_appears_later),
    test!(
        NOTHING,
        behaviour::a_pool_without_servers_moves_the_address_once
    ),
    test!(
        NOTHING,
        behaviour::brokers_that_are_down_for_both_move_nothing
    ),
    test!(
        NOTHING,
        behaviour::a_pool_that_is_down_for_both_does_not_hold_back_the_others
    ),
    test!(
        NOTHING,
        behaviour::clients_are_reset_before_the_address_goes
    ),
    test!(
        "/usr/bin/python3",
        behaviour::thousands_of_silent_clients_are_reset
    ),
    test!(
        "/usr/bin/python3",
        behaviour::clients_that_wait_for_a_slot_are_reset_too
    ),
    test!(NOTHING, behaviour::a_group_moves_together),
    test!(
        NOTHING,
        behaviour::a_tie_of_groups_does_not_depend_on_the_order_in_the_files
    ),
    test!(NOTHING, behaviour::without_preempt_the_address_stays),
    test!(NOTHING, behaviour::an_operator_moves_the_address),
    test!(
        NOTHING,
        behaviour::equal_priorities_are_decided_by_the_address
    ),
    test!(NOTHING, behaviour::a_missing_capability_is_named),
    test!(NOTHING, behaviour::neighbours_are_told),
    test!(NOTHING, behaviour::an_address_with_a_label_counts),
    test!(NOTHING, reconfigure::what_stays_the_same_is_not_touched),
    test!(NOTHING, reconfigure::another_prefix_length_resets_nobody),
    test!(NOTHING, reconfigure::a_group_changes_as_one),
    test!(NOTHING, reconfigure::settings_change_under_way),
    test!(NOTHING, reconfigure::addresses_come_and_go_under_way),
    test!(
        NOTHING,
        reconfigure::an_address_goes_when_its_clients_are_reset
    ),
    test!(
        NOTHING,
        reconfigure::what_cannot_change_under_way_begins_anew
    ),
    test!(NOTHING, reconfigure::an_address_moves_between_routers),
    test!(NOTHING, reconfigure::the_last_configuration_wins),
    test!("/usr/bin/python3", reload::connections_follow_their_address),
    test!(NOTHING, reload::a_pair_is_reloaded),
    test!(NOTHING, reload::the_first_virtual_router_comes_by_a_reload),
    test!(NOTHING, vip::an_address_has_a_lease),
    test!(NOTHING, vip::an_address_that_is_renewed_stays),
    test!(NOTHING, vip::releasing_takes_away_what_was_claimed),
    test!(NOTHING, vip::all_addresses_are_claimed_or_none),
    test!(NOTHING, vip::what_was_there_before_is_cleared),
    test!(NOTHING, vip::a_dump_is_whole_while_addresses_change),
    test!(NOTHING, owner::the_owner_keeps_its_only_address),
    test!(NOTHING, owner::two_owners_stand_in_for_each_other),
    test!(NOTHING, owner::the_owner_of_a_further_address_keeps_it),
    test!(NOTHING, owner::an_address_that_the_host_needs_is_not_taken),
    test!(NOTHING, owner::what_others_left_behind_is_removed),
    test!(NOTHING, strays::a_backup_does_not_keep_the_address),
    test!(NOTHING, strays::an_interface_does_not_bring_the_address),
    test!(NOTHING, strays::nothing_of_the_address_stays_behind),
    test!(NOTHING, strays::a_backup_has_the_address_on_no_interface),
    test!(
        NOTHING,
        strays::a_removed_address_is_counted_in_a_storm_of_changes
    ),
    test!(NOTHING, strays::two_masters_are_named),
    test!(NOTHING, unicast::ipv6_peers_that_are_not_link_local),
    test!(NOTHING, unicast::the_source_is_in_the_network_of_the_peer),
    test!(NOTHING, unicast::a_source_that_is_given),
    test!(NOTHING, explain::why_this_node_is_master_or_not),
    test!(NOTHING, explain::why_a_lower_master_is_left_alone),
    test!(NOTHING, demo::two_nodes_share_an_address),
    test!(NOTHING, demo::without_user_namespaces_it_says_so),
    test!("/usr/bin/python3", crafted::packets_that_must_not_matter),
    test!(
        "/usr/bin/python3",
        crafted::ipv6_packets_that_must_not_matter
    ),
    test!("/usr/bin/python3", crafted::the_other_form_of_checksum),
    test!(
        "/usr/bin/python3",
        crafted::a_master_that_does_not_give_way_is_named
    ),
];

/// Beside others.
const OTHERS: &[Test] = &[
    test!(KEEPALIVED, interop::keepalived_v2),
    test!(KEEPALIVED, interop::keepalived_v3),
    test!(KEEPALIVED, interop::keepalived_v2_unicast),
    test!(KEEPALIVED, interop::keepalived_v3_unicast),
    test!(KEEPALIVED, interop::keepalived_v3_ipv6_unicast),
    test!(KEEPALIVED, interop::keepalived_v3_ipv6_unicast_global),
    test!(
        KEEPALIVED,
        interop::keepalived_ipv6_unicast_with_a_short_hop_limit
    ),
    test!(KEEPALIVED, interop::keepalived_v3_ipv6),
    test!(KEEPALIVED, interop::keepalived_nopreempt),
    test!(KEEPALIVED, interop::keepalived_equal_priorities),
    test!(FRR, interop::frr_ipv4),
    test!(FRR, interop::frr_ipv6),
    test!(FRR, interop::frr_equal_priorities),
    test!(KEEPALIVED, dark::dark_times),
];
