#include "core/pace_history.hpp"
#include "core/pacer.hpp"
#include "expect_error.hpp"
#include <cmath>

namespace tenantmig::core {
namespace {

PaceSignals lag(double seconds) {
    PaceSignals signals;
    signals.replica_lag = {seconds, "standby1", true};
    return signals;
}

TEST(PacerSize, StartsWithTheFirstBatchWithinItsBounds) {
    EXPECT_EQ(Pacer().batch_rows(), 2000);
    EXPECT_EQ(Pacer(PaceSettings{.max_batch_rows = 500}).batch_rows(), 500);
    EXPECT_EQ(Pacer(PaceSettings{.min_batch_rows = 5000}).batch_rows(), 5000);
}

TEST(PacerSize, FindsTheTargetWhateverItStartsFrom) {
    // each row takes 20 µs, each batch 5 ms to begin and to commit
    for (const std::int64_t first : {1, 100, 2000, 10000}) {
        Pacer pacer(PaceSettings{.min_batch_rows = 1, .first_batch_rows = first});
        for (int i = 0; i < 60; i++)
            pacer.batch_done(pacer.batch_rows(), 5 + 0.02 * static_cast<double>(pacer.batch_rows()));
        EXPECT_NEAR(static_cast<double>(pacer.batch_rows()), 95 / 0.02, 100) << "from " << first;
    }
}

TEST(PacerSize, GrowsByTwoAtMost) {
    Pacer pacer;
    std::int64_t last = pacer.batch_rows();
    for (int i = 0; i < 10; i++) {
        pacer.batch_done(last, 0.001);
        EXPECT_LE(pacer.batch_rows(), 2 * last);
        last = pacer.batch_rows();
    }
    EXPECT_EQ(last, 10000);
}

TEST(PacerSize, ShrinksAtOnceToTheLeastIfItMust) {
    Pacer pacer;
    pacer.batch_done(2000, 10);
    EXPECT_EQ(pacer.batch_rows(), 4000);
    pacer.batch_done(4000, 60'000);
    EXPECT_EQ(pacer.batch_rows(), 100);
}

TEST(PacerSize, OneSlowerBatchIsAveraged) {
    Pacer pacer;
    for (int i = 0; i < 20; i++)
        pacer.batch_done(pacer.batch_rows(), 0.05 * static_cast<double>(pacer.batch_rows()));
    EXPECT_EQ(pacer.batch_rows(), 2000);
    pacer.batch_done(2000, 150); // 1.5 times as slow: 30 % of that is believed
    EXPECT_NEAR(static_cast<double>(pacer.batch_rows()), 2000 / 1.15, 1);
}

TEST(PacerSize, BatchesWithFewRowsSayLittle) {
    Pacer pacer;
    for (int i = 0; i < 20; i++)
        pacer.batch_done(pacer.batch_rows(), 0.05 * static_cast<double>(pacer.batch_rows()));
    pacer.batch_done(1, 5); // the end of a range: 5 ms a row
    EXPECT_GT(pacer.batch_rows(), 1900);
    pacer.batch_done(0, 5);
    EXPECT_GT(pacer.batch_rows(), 1900);
    pacer.batch_done(10, 1000); // but too slow is too slow
    EXPECT_EQ(pacer.batch_rows(), 100);
}

TEST(PacerSize, NonsenseIsIgnored) {
    Pacer pacer;
    pacer.batch_done(2000, std::nan(""));
    pacer.batch_done(-5, 100);
    pacer.batch_done(2000, -1);
    EXPECT_EQ(pacer.batch_rows(), 2000);
    pacer.batch_done(2000, 0);
    EXPECT_EQ(pacer.batch_rows(), 4000);
}

TEST(PacerSize, TimeOutsHalveAndComeBackSlowly) {
    Pacer pacer(PaceSettings{.first_batch_rows = 8000});
    pacer.timed_out();
    EXPECT_EQ(pacer.batch_rows(), 4000);
    pacer.timed_out();
    EXPECT_EQ(pacer.batch_rows(), 2000);
    pacer.batch_done(2000, 1);
    EXPECT_EQ(pacer.batch_rows(), 2200);
    for (int i = 0; i < 100; i++)
        pacer.batch_done(pacer.batch_rows(), 1);
    EXPECT_EQ(pacer.batch_rows(), 10000);
    for (int i = 0; i < 100; i++)
        pacer.timed_out();
    EXPECT_EQ(pacer.batch_rows(), 100);
}

TEST(PacerSize, SettingsChangeWhileItRuns) {
    Pacer pacer;
    pacer.use(PaceSettings{.max_batch_rows = 300});
    EXPECT_EQ(pacer.batch_rows(), 300);
    pacer.use(PaceSettings{.batch_target_ms = 10});
    for (int i = 0; i < 30; i++)
        pacer.batch_done(pacer.batch_rows(), 0.01 * static_cast<double>(pacer.batch_rows()));
    EXPECT_EQ(pacer.batch_rows(), 1000);
}

TEST(PacerSignals, NothingWrongIsFullSpeed) {
    Pacer pacer;
    pacer.batch_done(2000, 100);
    const Pace pace = pacer.assess({});
    EXPECT_EQ(pace.action, PaceAction::go);
    EXPECT_EQ(pace.rest_ms, 0);
    EXPECT_EQ(pace.reason, "");
}

TEST(PacerSignals, LagSlowsThenStopsThenRecovers) {
    Pacer pacer;
    pacer.batch_done(2000, 100);
    EXPECT_EQ(pacer.assess(lag(7.9)).action, PaceAction::go);
    Pace pace = pacer.assess(lag(9));
    EXPECT_EQ(pace.action, PaceAction::slow);
    EXPECT_EQ(pace.reason, "replica lag 9 s (limit 10 s): standby1");
    EXPECT_NEAR(pace.rest_ms, 100, 0.1); // half of the time
    pace = pacer.assess(lag(23));
    EXPECT_EQ(pace.action, PaceAction::stop);
    EXPECT_EQ(pace.reason, "replica lag 23 s (limit 10 s): standby1");
    EXPECT_EQ(pace.rest_ms, 250);
    EXPECT_EQ(pacer.assess(lag(9.5)).action, PaceAction::stop); // hysteresis: below the limit is not enough
    EXPECT_EQ(pacer.assess(lag(8.5)).rest_ms, 1000);
    EXPECT_EQ(pacer.assess(lag(8.5)).rest_ms, 1000);
    EXPECT_EQ(pacer.assess(lag(7)).action, PaceAction::slow);
    EXPECT_EQ(pacer.assess(lag(6.5)).action, PaceAction::slow);
    EXPECT_EQ(pacer.assess(lag(5)).action, PaceAction::go);
    EXPECT_EQ(pacer.assess(lag(7)).action, PaceAction::go);
}

TEST(PacerSignals, AfterAStopItGetsUpToSpeedStepByStep) {
    Pacer pacer;
    pacer.batch_done(2000, 100);
    (void)pacer.assess(lag(10.04));
    Pace pace = pacer.assess(lag(0));
    EXPECT_EQ(pace.action, PaceAction::slow);
    EXPECT_NEAR(pace.rest_ms, 300, 0.1);
    EXPECT_EQ(pace.reason, "getting up to speed again after replica lag 10.1 s (limit 10 s): standby1");
    EXPECT_NEAR(pacer.assess(lag(0)).rest_ms, 100, 0.1);
    EXPECT_EQ(pacer.assess(lag(0)).action, PaceAction::go);
}

TEST(PacerSignals, AThresholdThatIsRaisedLetsItGoOn) {
    Pacer pacer;
    EXPECT_EQ(pacer.assess(lag(23)).action, PaceAction::stop);
    pacer.use(PaceSettings{.max_replica_lag_s = 60});
    EXPECT_NE(pacer.assess(lag(23)).action, PaceAction::stop);
    pacer.use(PaceSettings{.max_replica_lag_s = 20});
    EXPECT_EQ(pacer.assess(lag(23)).action, PaceAction::stop);
    pacer.use(PaceSettings{.max_replica_lag_s = std::nullopt});
    for (int i = 0; i < 3; i++)
        (void)pacer.assess(lag(23));
    EXPECT_EQ(pacer.pace().action, PaceAction::go);
}

TEST(PacerSignals, ArchiveBacklogStops) {
    Pacer pacer;
    PaceSignals signals;
    signals.archive_backlog.value = 101;
    EXPECT_EQ(pacer.assess(signals).action, PaceAction::stop);
    EXPECT_EQ(pacer.pace().reason, "archive backlog 101 files (limit 100 files)");
    Pacer strict(PaceSettings{.max_archive_backlog = 0});
    signals.archive_backlog.value = 0;
    EXPECT_EQ(strict.assess(signals).action, PaceAction::go);
    signals.archive_backlog.value = 1;
    EXPECT_EQ(strict.assess(signals).action, PaceAction::stop);
    signals.archive_backlog.value = 0;
    EXPECT_EQ(strict.assess(signals).action, PaceAction::slow);
}

TEST(PacerSignals, WalRateIsBroughtToItsLimit) {
    Pacer pacer(PaceSettings{.max_wal_mb_per_s = 20});
    pacer.batch_done(2000, 100);
    PaceSignals signals;
    EXPECT_EQ(pacer.assess(signals).action, PaceAction::go); // the first reading has no rate yet
    double share = 1;
    for (int i = 0; i < 30; i++) {
        signals.wal_rate.value = 80 * share + 2; // of which 2 are others'
        const Pace pace = pacer.assess(signals);
        EXPECT_EQ(pace.action, PaceAction::slow);
        share = 100 / (100 + pace.rest_ms);
    }
    EXPECT_NEAR(*signals.wal_rate.value, 20, 0.5);
    EXPECT_EQ(pacer.pace().reason.substr(0, 9), "WAL rate ");
    signals.wal_rate.value = 2000; // nothing of that is ours
    for (int i = 0; i < 30; i++)
        (void)pacer.assess(signals);
    EXPECT_EQ(pacer.pace().reason, "WAL rate 2000 MB/s (limit 20 MB/s)");
    EXPECT_NEAR(pacer.pace().rest_ms, 1900, 0.1); // a twentieth of the time remains
    signals.wal_rate.value = 1;
    for (int i = 0; i < 30; i++)
        (void)pacer.assess(signals);
    EXPECT_EQ(pacer.pace().action, PaceAction::go);
}

TEST(PacerSignals, AutovacuumGetsRoom) {
    Pacer pacer;
    pacer.batch_done(2000, 100);
    PaceSignals signals;
    signals.autovacuum = {12.7, "public.customers", true};
    EXPECT_NEAR(pacer.assess(signals).rest_ms, 100, 0.1);
    EXPECT_EQ(pacer.pace().reason, "autovacuum of a table that is written, for 12 s: public.customers");
    signals.autovacuum.value = 61;
    EXPECT_NEAR(pacer.assess(signals).rest_ms, 300, 0.1);
    signals.wraparound = true;
    EXPECT_EQ(pacer.assess(signals).action, PaceAction::stop);
    EXPECT_EQ(pacer.pace().reason,
              "autovacuum (to prevent wraparound) of a table that is written, for 61 s: public.customers");
    Pacer careless(PaceSettings{.wait_for_autovacuum = false});
    EXPECT_EQ(careless.assess(signals).action, PaceAction::go);
}

TEST(PacerSignals, WaitingSessionsHalveTheBatches) {
    Pacer pacer;
    pacer.batch_done(2000, 100);
    PaceSignals signals;
    signals.lock_waiters = {2, "pid 4711", true};
    EXPECT_EQ(pacer.assess(signals).action, PaceAction::slow);
    EXPECT_EQ(pacer.pace().reason, "sessions that wait for us 2 (limit 0): pid 4711");
    EXPECT_EQ(pacer.batch_rows(), 1000);
    (void)pacer.assess(signals);
    EXPECT_EQ(pacer.batch_rows(), 500);
    signals.lock_waiters.value = 0;
    EXPECT_EQ(pacer.assess(signals).action, PaceAction::go);
    EXPECT_EQ(pacer.batch_rows(), 500);
    Pacer patient(PaceSettings{.max_lock_waiters = 2});
    signals.lock_waiters.value = 2;
    EXPECT_EQ(patient.assess(signals).action, PaceAction::go);
}

TEST(PacerSignals, OldTransactionsSlowTheMoreTheOlder) {
    Pacer pacer;
    pacer.batch_done(2000, 100);
    PaceSignals signals;
    signals.transaction_age = {900, "session 4711", true};
    EXPECT_EQ(pacer.assess(signals).action, PaceAction::go);
    signals.transaction_age.value = 1200;
    const double rest = pacer.assess(signals).rest_ms;
    EXPECT_EQ(pacer.pace().reason, "transaction elsewhere 1200 s (limit 900 s): session 4711");
    EXPECT_NEAR(rest, 100 * (1200 / 450.0 - 1), 0.1);
    signals.transaction_age.value = 100'000;
    EXPECT_NEAR(pacer.assess(signals).rest_ms, 900, 0.1);
}

TEST(PacerSignals, WhatCannotBeReadCountsAsBad) {
    const Signal blind{std::nullopt, "permission denied", false};
    const auto judge = [](PaceSignals signals, PaceSettings settings = {}) { return Pacer(settings).assess(signals); };
    Pace pace = judge({.replica_lag = blind});
    EXPECT_EQ(pace.action, PaceAction::stop);
    EXPECT_EQ(pace.reason, "replica lag cannot be read: permission denied");
    EXPECT_EQ(judge({.archive_backlog = blind}).reason, "archive backlog cannot be read: permission denied");
    EXPECT_EQ(judge({.archive_backlog = blind}).action, PaceAction::stop);
    EXPECT_EQ(judge({.autovacuum = blind}).reason, "autovacuum cannot be read: permission denied");
    EXPECT_EQ(judge({.autovacuum = blind}).action, PaceAction::slow);
    EXPECT_EQ(judge({.lock_waiters = blind}).action, PaceAction::slow);
    EXPECT_EQ(judge({.transaction_age = blind}).action, PaceAction::slow);
    EXPECT_EQ(judge({.wal_rate = blind}, {.max_wal_mb_per_s = 5}).reason, "WAL rate cannot be read: permission denied");
    // what is off is not looked at
    const PaceSettings off{.max_replica_lag_s = {},
                           .max_archive_backlog = {},
                           .wait_for_autovacuum = false,
                           .max_lock_waiters = {},
                           .max_transaction_age_s = {}};
    EXPECT_EQ(judge({blind, blind, blind, blind, false, blind, blind}, off).action, PaceAction::go);
}

TEST(PacerSignals, TheWorstDecides) {
    Pacer pacer(PaceSettings{.max_wal_mb_per_s = 20});
    pacer.batch_done(2000, 100);
    PaceSignals signals = lag(12);
    signals.archive_backlog.value = 500;
    signals.transaction_age.value = 100'000;
    EXPECT_EQ(pacer.assess(signals).reason, "archive backlog 500 files (limit 100 files)");
    signals.archive_backlog.value = 0;
    EXPECT_EQ(pacer.assess(signals).reason, "replica lag 12 s (limit 10 s): standby1");
    Pacer other;
    signals = lag(9);
    signals.transaction_age.value = 100'000;
    EXPECT_EQ(other.assess(signals).reason, "transaction elsewhere 100000 s (limit 900 s)");
}

TEST(PacerRest, IsInProportionToTheWork) {
    Pacer pacer(PaceSettings{.work_share = 0.25});
    pacer.batch_done(2000, 100);
    EXPECT_EQ(pacer.pace().action, PaceAction::slow);
    EXPECT_NEAR(pacer.pace().rest_ms, 300, 0.1);
    EXPECT_EQ(pacer.pace().reason, "work_share 0.25");
    pacer.batch_done(2000, 8);
    EXPECT_NEAR(pacer.pace().rest_ms, 24, 0.1);
    EXPECT_NEAR(pacer.assess(lag(9)).rest_ms, 56, 0.1); // half of a quarter
    pacer.batch_done(2000, 10'000'000);
    EXPECT_EQ(pacer.pace().rest_ms, 60'000);
}

TEST(PaceHistory, TellsSinceWhenACounterIsBeyond) {
    PaceHistory history;
    EXPECT_EQ(history.behind(5, 100), 0);
    history.add(10, 100);
    history.add(20, 200);
    history.add(30, 200);
    EXPECT_EQ(history.behind(31, 200), 0);
    EXPECT_EQ(history.behind(31, 199), 11);
    EXPECT_EQ(history.behind(31, 100), 11);
    EXPECT_EQ(history.behind(31, 5), 21);
    EXPECT_EQ(history.behind(500, 150), 480);
}

TEST(PaceHistory, StaysSmallAndRightByATenth) {
    PaceHistory history;
    for (int i = 0; i <= 100'000; i++)
        history.add(i, static_cast<std::uint64_t>(i) * 1000);
    EXPECT_LT(history.size(), 300U);
    for (const double age : {1.0, 10.0, 100.0, 900.0, 50'000.0}) {
        const double told = history.behind(100'000, static_cast<std::uint64_t>((100'000 - age) * 1000) - 1);
        EXPECT_LE(told, age);
        EXPECT_GE(told, age * 0.88 - 1);
    }
}

TEST(PaceSettings, RoundTrip) {
    EXPECT_EQ(parse_pace_settings("{}"), PaceSettings{});
    const std::string stored =
        merge_pace_settings("{}", R"({"max_replica_lag_s": "off", "work_share": 0.5, "max_lock_waiters": 3})");
    const PaceSettings settings = parse_pace_settings(stored);
    EXPECT_FALSE(settings.max_replica_lag_s);
    EXPECT_EQ(settings.work_share, 0.5);
    EXPECT_EQ(settings.max_lock_waiters, 3);
    EXPECT_EQ(parse_pace_settings(pace_settings_json(settings)), settings);
    EXPECT_EQ(parse_pace_settings(merge_pace_settings(stored, R"({"work_share": null})")).work_share, 1);
    // what is shown can be set again, and nothing of before is left
    EXPECT_EQ(parse_pace_settings(merge_pace_settings(stored, pace_settings_json({}))), PaceSettings{});
    EXPECT_EQ(pace_settings_json({}).substr(0, 42), R"({"batch_target_ms":100,"min_batch_rows":10)");
}

TEST(PaceSettings, WhatIsRefused) {
    const auto set = [](std::string_view changes) { return merge_pace_settings("{}", changes); };
    EXPECT_ERROR(set(R"({"max_lag": 1})"), "22023", "unknown pace setting \"max_lag\"", "",
                 "Settings are batch_target_ms, ");
    EXPECT_ERROR(set(R"({"workshare": 1})"), "22023", "unknown pace setting \"workshare\"", "",
                 "Did you mean \"work_share\"?");
    EXPECT_ERROR(set(R"({"max_lag": null})"), "22023", "unknown pace setting \"max_lag\"");
    EXPECT_ERROR(set(R"({"work_share": 1.5})"), "22023", "pace setting \"work_share\" must be a number from 0.05 to 1",
                 "Found the number 1.5.", "Its default is 1;");
    EXPECT_ERROR(set(R"({"first_batch_rows": 1.5})"), "22023",
                 "pace setting \"first_batch_rows\" must be a whole number from 1 to 1000000");
    EXPECT_ERROR(set(R"({"max_replica_lag_s": true})"), "22023",
                 "pace setting \"max_replica_lag_s\" must be a number from 0.1 to 86400, or \"off\"", "Found true.");
    EXPECT_ERROR(set(R"({"wait_for_autovacuum": "off"})"), "22023",
                 "pace setting \"wait_for_autovacuum\" must be true or false", "Found the string \"off\".");
    EXPECT_ERROR(set(R"({"min_batch_rows": 60000})"), "22023",
                 "pace setting \"min_batch_rows\" must not be greater than \"max_batch_rows\"", "60000 and 10000");
    EXPECT_ERROR(set("[]"), "22023", "pace settings must be an object", "Found a list of 0 elements.");
    EXPECT_ERROR(set("{"), "22023", "pace settings cannot be read");
    EXPECT_ERROR(parse_pace_settings(R"({"x": 1})"), "22023", "unknown pace setting \"x\"");
}

} // namespace
} // namespace tenantmig::core
