#include "server/policy/api_key.h"

#include <gtest/gtest.h>

#include "server/policy/credential_limits.h"

namespace valkyrie::policy {
namespace {

using std::chrono::seconds;

constexpr WallTime kNow{seconds(1'800'000'000)};

NewApiKey key_of(std::uint8_t seed, Identity identity = {.subject = "ci"},
                 std::optional<WallTime> expires_at = std::nullopt) {
  std::array<std::byte, kApiKeyRandomBytes> random{};
  for (std::size_t i = 0; i < random.size(); ++i) random[i] = static_cast<std::byte>(seed + 7 * i);
  return make_api_key(random, std::move(identity), expires_at);
}

ApiKeys keys_of(std::vector<ApiKeyRecord> records) {
  ApiKeys keys;
  for (ApiKeyRecord& record : records) EXPECT_TRUE(keys.add(std::move(record)).has_value());
  return keys;
}

TEST(ApiKey, new_one_has_the_form_and_its_text_is_not_kept) {
  const NewApiKey made = key_of(1);
  EXPECT_EQ(made.text.size(), 55U);
  EXPECT_EQ(made.text.substr(0, 12), "vk_" + made.record.prefix + "_");
  EXPECT_TRUE(looks_like_api_key(made.text));
  const std::string file = keys_of({made.record}).format();
  EXPECT_EQ(file.find(made.text.substr(12)), std::string::npos);
  EXPECT_NE(key_of(2).record.prefix, made.record.prefix);
}

TEST(ApiKey, right_key_proves_its_identity) {
  const NewApiKey made = key_of(1, {.tenant = "acme", .subject = "ci", .groups = {"a", "b"}});
  const auto record = keys_of({made.record, key_of(2).record}).verify(made.text, kNow);
  ASSERT_TRUE(record.has_value());
  EXPECT_EQ(record->identity, (Identity{.method = AuthenticationMethod::api_key,
                                        .tenant = "acme",
                                        .subject = "ci",
                                        .groups = {"a", "b"}}));
}

TEST(ApiKey, altering_any_byte_is_refused) {
  const NewApiKey made = key_of(1);
  const ApiKeys keys = keys_of({made.record});
  for (std::size_t at = 0; at < made.text.size(); ++at) {
    std::string altered = made.text;
    altered[at] = altered[at] == 'A' ? 'B' : 'A';
    ASSERT_FALSE(keys.verify(altered, kNow).has_value()) << at;
    ASSERT_EQ(keys.verify(made.text.substr(0, at), kNow).error(), ApiKeyError::malformed);
  }
  EXPECT_EQ(keys.verify(made.text + 'A', kNow).error(), ApiKeyError::malformed);
  EXPECT_EQ(ApiKeys().verify(made.text, kNow).error(), ApiKeyError::unknown);
}

TEST(ApiKey, expires_to_the_second) {
  const NewApiKey made = key_of(1, {.subject = "ci"}, kNow);
  const ApiKeys keys = keys_of({made.record});
  EXPECT_TRUE(keys.verify(made.text, kNow - seconds(1)).has_value());
  EXPECT_EQ(keys.verify(made.text, kNow).error(), ApiKeyError::expired);
}

TEST(ApiKey, revoked_one_stays_revoked_from_the_first_time_on) {
  const NewApiKey made = key_of(1);
  ApiKeys keys = keys_of({made.record});
  EXPECT_TRUE(keys.revoke(made.record.prefix, kNow));
  EXPECT_TRUE(keys.revoke(made.record.prefix, kNow + seconds(9)));
  EXPECT_FALSE(keys.revoke("aaaaaaaa", kNow));
  EXPECT_EQ(keys.verify(made.text, kNow - seconds(99)).error(), ApiKeyError::revoked);
  EXPECT_EQ(keys.records().at(made.record.prefix).revoked_at, kNow);
}

TEST(ApiKey, state_of_a_key_is_told_only_to_who_knows_its_secret) {
  const NewApiKey made = key_of(1);
  ApiKeys keys = keys_of({made.record});
  EXPECT_TRUE(keys.revoke(made.record.prefix, kNow));
  std::string guess = made.text;
  guess.back() = guess.back() == 'A' ? 'E' : 'A';
  EXPECT_EQ(keys.verify(guess, kNow).error(), ApiKeyError::unknown);
}

TEST(ApiKeyFile, comes_back_as_it_was_written) {
  ApiKeys keys = keys_of({key_of(1, {.tenant = "acme", .subject = "ci=x", .groups = {"a"}}).record,
                          key_of(2, {.subject = "b"}, kNow).record, key_of(3).record});
  EXPECT_TRUE(keys.revoke(key_of(3).record.prefix, kNow));
  const std::string text = keys.format();
  const auto read = ApiKeys::parse("# Keys.\n\n" + text);
  ASSERT_TRUE(read.has_value()) << read.error();
  EXPECT_EQ(read->records(), keys.records());
  EXPECT_EQ(read->format(), text);
}

TEST(ApiKeyFile, fault_is_named_by_its_line) {
  const std::string hash(64, 'a');
  const auto error_of = [&](const std::string& line) {
    const auto keys = ApiKeys::parse("# Keys.\n" + line);
    EXPECT_FALSE(keys.has_value()) << line;
    return keys ? "" : keys.error();
  };
  EXPECT_EQ(error_of("abcdefgh"), "line 2: write PREFIX SHA256 subject=...");
  EXPECT_EQ(error_of("abcdefgh 12"), "line 2: write PREFIX SHA256 subject=...");
  EXPECT_EQ(error_of("ABCDEFGH " + hash + " subject=a"),
            "line 2: a prefix is 8 characters of a-z 2-7");
  EXPECT_EQ(error_of("abcdefgh " + hash), "line 2: a key has a subject");
  EXPECT_EQ(error_of("abcdefgh " + hash + " subject="), "line 2: \"subject\" has no value");
  EXPECT_EQ(error_of("abcdefgh " + hash + " subject=a subject=b"),
            "line 2: \"subject\" is there twice");
  EXPECT_EQ(error_of("abcdefgh " + hash + " subject=a admin=yes"),
            "line 2: unknown field \"admin\"");
  EXPECT_EQ(error_of("abcdefgh " + hash + " subject=a expires=tomorrow"),
            "line 2: expires: write 2030-01-31T00:00:00Z");
  EXPECT_EQ(error_of("abcdefgh " + hash + " subject=a groups=a,,b"),
            "line 2: a group is not legal");
  const std::string line = "abcdefgh " + hash + " subject=a\n";
  EXPECT_EQ(error_of(line + line), "line 3: the prefix is there twice");
}

TEST(ApiKeyFile, identity_must_fit_into_a_line_and_into_what_services_are_told) {
  ApiKeys keys;
  EXPECT_FALSE(keys.add(key_of(1, {.subject = "a b"}).record).has_value());
  EXPECT_FALSE(keys.add(key_of(1, {.subject = "a", .groups = {"a,b"}}).record).has_value());
  EXPECT_FALSE(keys.add(key_of(1, {.subject = ""}).record).has_value());
  const std::string longest(kIdentityBytesMax, 's');
  EXPECT_FALSE(keys.add(key_of(1, {.subject = longest + 's'}).record).has_value());
  EXPECT_TRUE(keys.add(key_of(1, {.subject = longest}).record).has_value());
}

TEST(WallTimeText, comes_back_and_takes_only_days_of_the_calendar) {
  EXPECT_EQ(wall_time_text(kNow), "2027-01-15T08:00:00Z");
  EXPECT_EQ(parse_wall_time("2027-01-15T08:00:00Z"), kNow);
  EXPECT_EQ(parse_wall_time("1970-01-01T00:00:00Z"), WallTime());
  EXPECT_TRUE(parse_wall_time("2028-02-29T23:59:59Z").has_value());
  for (const std::string_view text :
       {"2027-02-29T00:00:00Z", "2027-13-01T00:00:00Z", "2027-01-01T24:00:00Z",
        "1969-12-31T00:00:00Z", "2027-01-01T00:00:60Z", "2027-01-01T00:00:00",
        "2027-01-01T00:00:00Zx", "2027-1-01T00:00:00Z", "2027-01-01 00:00:00Z",
        "+027-01-01T00:00:00Z", ""}) {
    EXPECT_FALSE(parse_wall_time(text).has_value()) << text;
  }
}

}  // namespace
}  // namespace valkyrie::policy
