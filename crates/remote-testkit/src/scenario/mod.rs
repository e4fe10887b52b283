//! The scenarios: what every provider must do, one function each.
//!
//! [`conformance_suite!`](crate::conformance_suite) makes tests of them. Each has a name, by which it is skipped, and is
//! told here as what holds when it passes.

pub mod answers;
pub mod breaker;
pub mod dropped;
pub mod records;
pub mod refusals;
pub mod relay;
pub mod retries;
pub mod routes;
pub mod secrets;
pub mod sessions;
pub mod streams;

/// The table: the name of every scenario and where it plays.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_tests {
    ($subject:ident $modules:ident) => {
        $crate::$modules! {
            $subject
            both {
                "collected" answers::a_collected_answer_is_whole;
                "streamed" answers::a_streamed_answer_comes_in_pieces;
                "every split" answers::every_split_gives_the_same_answer;
                "usage in the tail" answers::usage_in_the_tail_is_counted;
                "empty choices" answers::empty_choices_are_neither_an_answer_nor_a_fault;
                "unknown fields" answers::unknown_fields_are_passed_over;
                "cost equals from_rates" answers::the_cost_is_the_usage_at_the_rates;
                "429 with a hint" retries::a_429_is_retried_after_its_hint;
                "500 then success" retries::a_500_is_retried;
                "400 not retried" refusals::a_400_is_not_retried;
                "redirect refused" refusals::a_redirect_is_refused;
                "body cap" refusals::a_body_or_an_event_over_its_cap_is_refused;
                "401 rotates" sessions::a_401_gets_one_refresh_and_one_more_try;
                "in-flight keeps the old key" sessions::a_call_in_flight_keeps_the_old_key;
                "stalled stream" streams::a_stalled_stream_is_an_error;
                "truncated stream" streams::a_truncated_stream_is_an_error;
                "error event first" streams::an_error_event_before_any_text_is_retried;
                "error event midway" streams::an_error_event_after_text_ends_the_stream;
                "malformed event" streams::a_malformed_event_is_never_skipped;
                "drop before the head" dropped::a_call_dropped_before_the_head_is_cancelled;
                "drop mid-stream" dropped::a_stream_dropped_midway_is_cancelled;
                "no secret" secrets::no_secret_is_printed;
                "models" routes::models_are_listed;
                "health" routes::health_is_asked_once;
                "vectors in order" routes::vectors_belong_to_their_inputs;
                "relay" relay::bytes_pass_unchanged_both_ways;
                "relay retried" relay::a_relay_is_retried_before_its_first_event;
                "relay cut" relay::a_relay_that_is_cut_is_an_error;
                "relay dropped" relay::a_relay_dropped_midway_is_cancelled;
                "records add up" records::every_attempt_and_call_is_recorded_and_the_costs_add_up;
            }
            scripted {
                "quota 429 not retried" refusals::an_exhausted_quota_is_not_retried;
                "request-too-large 429 not retried" refusals::a_request_too_large_is_not_retried;
                "context length" refusals::a_context_length_error_is_told_apart;
                "content filter" refusals::a_content_filter_error_is_told_apart;
                "breaker opens" breaker::a_dead_upstream_is_asked_as_often_as_the_threshold_says;
                "one probe" breaker::one_of_a_hundred_calls_probes;
                "drop in the queue" dropped::a_call_dropped_in_the_queue_is_never_sent;
                "drop in backoff" dropped::a_call_dropped_in_backoff_is_not_sent_again;
            }
        }
    };
}

/// One test of every row.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_modules {
    (
        $subject:ident
        both { $($both:literal $both_file:ident::$both_name:ident;)* }
        scripted { $($only:literal $only_file:ident::$only_name:ident;)* }
    ) => {
        #[test]
        fn the_skipped_scenarios_are_known_and_leave_some_to_run() {
            $crate::suite::check_skips(&$subject(), &[$($both,)* $($only,)*]);
        }

        mod scripted {
            $crate::__conformance_module! {
                $subject Scripted
                $($both $both_file::$both_name;)*
                $($only $only_file::$only_name;)*
            }
        }

        mod socket {
            $crate::__conformance_module! { $subject Socket $($both $both_file::$both_name;)* }
        }
    };
}

/// One test of every row that plays over a socket.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_socket {
    (
        $subject:ident
        both { $($both:literal $both_file:ident::$both_name:ident;)* }
        scripted { $($only:literal $only_file:ident::$only_name:ident;)* }
    ) => {
        #[test]
        fn the_skipped_scenarios_are_known_and_leave_some_to_run() {
            $crate::suite::check_skips(&$subject(), &[$($both,)*]);
        }

        mod socket {
            $crate::__conformance_module! { $subject Socket $($both $both_file::$both_name;)* }
        }
    };
}

/// The tests of one place.
#[doc(hidden)]
#[macro_export]
macro_rules! __conformance_module {
    ($subject:ident $place:ident $($scenario:literal $file:ident::$name:ident;)*) => {$(
        #[test]
        fn $name() {
            let place = $crate::Place::$place;
            $crate::suite::play(super::$subject(), $scenario, place, $crate::scenario::$file::$name);
        }
    )*};
}
