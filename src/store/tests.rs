mod applications;
mod bench;
mod broadcasts;
mod channels;
mod chats;
mod cluster;
mod cohosts;
mod dump;
mod events;
mod file;
mod files;
mod forwards;
mod known;
mod messages;
mod samples;
mod shown;
mod shows;
mod streams;
mod together;
mod users;
mod webhooks;

use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use super::*;
use crate::base::clock::Wall;
use crate::base::id::Uuid;
use crate::base::secret::Secret;
use crate::base::shutdown::Tasks;
use bench::{Bench, creation, declaration, default_channel, ensured};
use cluster::Cluster;

/// Moves a broadcast on.
async fn become_(store: &Store, id: Uuid, status: Status) {
    let update = BroadcastUpdate {
        status: Some(status),
        ..BroadcastUpdate::default()
    };
    store.update_broadcast(id, &update).await.unwrap();
}

/// Somebody who has signed up.
async fn user(store: &Store, application_id: &str, name: &str) -> User {
    let user = User::named(application_id, name);
    store.create_user(&user).await.unwrap()
}

/// A test that needs a database.
type Behaviour = fn(Bench) -> Pin<Box<dyn Future<Output = ()>>>;

/// Makes a test of each behaviour on SQLite, and of all of them one on PostgreSQL: a server for each would
/// take longer than the tests.
macro_rules! behaviours {
    ($($file:ident::$name:ident,)*) => {
        mod sqlite {
            use super::Bench;

            $(
                #[tokio::test]
                async fn $name() {
                    super::$file::$name(Bench::sqlite()).await;
                }
            )*
        }

        #[tokio::test]
        async fn every_behaviour_is_the_same_on_postgresql() {
            let all: &[(&str, Behaviour)] = &[
                $((stringify!($name), |bench| Box::pin($file::$name(bench))),)*
            ];
            let cluster = Cluster::start();
            // Not every test can move between threads.
            let tasks = tokio::task::LocalSet::new();
            let mut failed = Vec::new();
            for (name, behaviour) in all {
                let task = tasks.spawn_local(behaviour(cluster.bench().await));
                if tasks.run_until(task).await.is_err() {
                    failed.push(name);
                }
            }
            assert!(failed.is_empty(), "{failed:?}");
        }
    };
}

behaviours! {
    applications::applications_are_unique_and_take_their_channels_along,
    applications::credentials_open_their_application_only,
    applications::credentials_that_another_process_changed_are_seen_at_the_next_look,
    channels::the_default_channel_outlives_a_restart_and_follows_its_key,
    channels::channels_are_found_by_id_and_alias,
    channels::declared_channels_follow_the_file,
    channels::a_file_says_nothing_of_another_regions_channels,
    channels::a_file_says_nothing_of_another_applications_channels,
    channels::a_declared_channel_keeps_nothing_of_what_was_made_in_its_place,
    channels::a_refused_declaration_leaves_nothing_behind,
    channels::a_rotated_key_replaces_the_old_one,
    channels::a_created_channel_is_what_was_asked_for_at_once_and_after_a_restart,
    channels::aliases_and_names_are_taken_once_in_an_application,
    channels::there_are_no_more_channels_than_the_limit,
    channels::declared_channels_cannot_be_deleted,
    channels::text_that_only_one_database_holds_is_refused_by_both,
    channels::an_application_lists_its_channels_page_by_page,
    channels::what_was_made_in_place_of_the_default_channel_stays_as_it_is,
    known::a_key_opens_its_channel_at_once_and_no_more_once_it_was_changed,
    known::of_channels_of_one_alias_the_oldest_is_public_and_none_is_the_one,
    known::declared_keys_come_go_and_move_with_the_file,
    known::channels_are_known_by_id_and_alias_of_their_application_only,
    known::changes_of_another_process_are_seen_at_the_next_look,
    known::an_own_change_after_one_of_another_process_shows_both,
    known::a_database_that_was_set_back_is_followed,
    known::writers_side_by_side_leave_the_memory_as_the_database_is,
    known::without_the_database_the_last_known_keys_hold,
    known::ten_thousand_channels_are_found_and_only_read_when_they_changed,
    known::a_key_is_looked_up_by_its_digest_alone,
    known::no_key_is_printed_nor_held,
    known::changes_of_another_process_are_followed_until_the_server_stops,
    known::a_damaged_channel_takes_no_other_with_it,
    known::a_watcher_is_told_of_what_comes_and_goes_whoever_does_it,
    known::a_deletion_whose_answer_was_lost_is_told_at_the_next_look,
    streams::a_damaged_stream_takes_no_other_with_it,
    streams::open_streams_are_known_after_a_restart,
    streams::streams_of_a_gateway_that_is_there_are_its_own,
    streams::a_gateway_that_stops_gives_its_streams_away,
    streams::signs_of_life_replace_each_other_until_the_stream_is_over,
    messages::a_message_is_numbered_in_its_channel_and_read_as_it_was_sent,
    messages::ranges_take_the_end_that_was_asked_for_and_say_what_is_outside,
    messages::the_filter_runs_after_the_range_was_chosen,
    messages::a_bound_that_was_never_given_out_is_refused,
    messages::the_oldest_message_goes_when_there_are_too_many,
    messages::purged_messages_are_counted_and_numbers_go_on,
    messages::messages_end_after_ninety_days_and_with_their_channel,
    messages::more_messages_than_are_deleted_at_once_are_all_deleted,
    messages::senders_side_by_side_get_a_number_each,
    chats::messages_of_a_chat_are_numbered_and_the_newest_are_read_oldest_first,
    chats::a_broadcast_that_is_over_keeps_its_messages_and_takes_no_more,
    chats::the_oldest_message_of_a_chat_goes_when_there_are_too_many,
    chats::messages_of_a_chat_end_after_ninety_days_and_with_their_broadcast,
    chats::senders_to_a_chat_side_by_side_get_a_number_each,
    broadcasts::a_broadcasts_key_is_good_from_its_creation_to_its_end,
    broadcasts::a_broadcast_is_found_by_every_id_it_has,
    broadcasts::a_broadcast_that_is_over_does_not_live_again,
    broadcasts::only_public_broadcasts_of_a_status_are_listed_newest_first,
    broadcasts::silent_broadcasts_end_and_those_with_a_sign_of_life_do_not,
    broadcasts::anonymous_broadcasts_and_channels_are_limited,
    broadcasts::a_broadcasts_stream_begins_anew_after_its_end_was_recorded,
    cohosts::co_hosts_join_while_there_is_a_place,
    cohosts::a_removed_co_host_does_not_come_back_and_one_that_left_does,
    cohosts::the_last_place_goes_to_one_of_many,
    cohosts::what_holds_for_hosts_is_kept,
    cohosts::figures_of_hosts_have_the_highest_number_of_viewers,
    shown::a_name_leads_to_a_channel_or_to_a_broadcast_that_is_not_private,
    shown::operators_list_broadcasts_of_all_tenants,
    shown::a_poster_is_the_newest_picture_that_its_own_people_made_for_a_broadcast,
    users::users_are_unique_in_their_tenant_whatever_the_case,
    users::bearer_tokens_open_until_they_end,
    users::users_follow_and_find_each_other,
    users::contacts_are_one_for_each_number_and_know_who_has_it,
    files::a_file_is_read_as_it_was_made_and_changed_until_it_is_deleted,
    files::files_are_listed_newest_first_by_what_they_belong_to,
    files::files_of_another_tenant_are_not_there,
    files::images_of_a_user_are_its_newest,
    files::files_go_with_their_user,
    shows::one_gateway_at_a_time_sends_a_show_on,
    shows::encoders_that_come_and_go_for_ever_are_refused_and_sent_off,
    shows::files_of_other_events_do_not_hold_a_file,
    events::an_event_is_read_as_it_was_made_with_its_first_run,
    events::events_are_listed_by_their_start_and_status,
    events::of_two_events_for_one_channel_and_time_exactly_one_is_made,
    events::an_event_and_its_run_change_together_or_not_at_all,
    events::a_cut_that_viewers_may_have_seen_stays_as_it_is,
    events::the_next_run_ends_the_one_before,
    events::nodes_read_what_changed_since_their_last_look,
    events::an_event_goes_with_its_user_and_leaves_no_row,
    events::events_of_a_user_are_bounded,
    events::an_asset_is_prepared_by_one_gateway_at_a_time,
    events::a_new_file_plays_in_the_next_run_and_the_old_one_goes_when_nothing_shows_it,
    events::events_are_found_by_their_stream_and_their_key,
    events::a_run_begins_once_and_with_its_broadcast_or_not_at_all,
    events::a_start_meets_no_other_event_of_its_channel,
    events::a_gateway_that_was_killed_gives_back_what_it_prepared,
    forwards::destinations_are_their_channels_and_read_back_as_they_were_added,
    forwards::a_channel_has_no_more_than_sixteen_destinations,
    webhooks::webhooks_are_their_applications_and_no_more_than_ten,
    webhooks::what_becomes_of_a_broadcast_is_queued_with_the_change,
    webhooks::one_gateway_at_a_time_sends_to_a_webhook_oldest_first,
    webhooks::what_failed_waits_and_the_others_go_on,
    webhooks::too_many_pending_deliveries_drop_the_newest,
    webhooks::deliveries_that_are_over_are_deleted_after_a_week,
    together::sixteen_writers_make_and_delete_each_channel_once,
}
