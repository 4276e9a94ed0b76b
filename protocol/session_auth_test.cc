// AUTH and AUTH_OK: docs/spec/session.md, "Authentication".
#include <gtest/gtest.h>

#include "protocol/frame_body.h"
#include "protocol/session_pair.h"

namespace valkyrie::protocol {
namespace {

using testing::bytes_of;
using testing::Pair;

TEST(SessionAuth, credential_reaches_the_acceptor_and_its_time_the_dialer) {
  Pair pair;
  pair.run();
  ASSERT_TRUE(pair.dialer.session.send_auth(bytes_of("secret")).has_value());
  pair.run();
  const auto shown = pair.acceptor.all(EventType::auth);
  ASSERT_EQ(shown.size(), 1U);
  EXPECT_EQ(shown[0].payload, "secret");
  EXPECT_EQ(pair.acceptor.session.peer().token, "secret");
  pair.acceptor.session.send_auth_ok(60);
  pair.run();
  const auto taken = pair.dialer.all(EventType::auth_ok);
  ASSERT_EQ(taken.size(), 1U);
  EXPECT_EQ(taken[0].event.seconds_left, 60U);
}

TEST(SessionAuth, token_of_the_hello_may_be_answered_once) {
  SessionConfig config;
  config.token = "secret";
  Pair pair(config);
  pair.run();
  pair.acceptor.session.send_auth_ok(AuthOkBody::kNoEnd);
  pair.run();
  EXPECT_EQ(pair.dialer.count(EventType::auth_ok), 1U);
  EXPECT_FALSE(pair.dialer.session.closed());
  pair.acceptor.session.send_auth_ok(1);
  pair.run();
  EXPECT_EQ(pair.dialer.count(EventType::auth_ok), 1U);
  EXPECT_TRUE(pair.dialer.session.closed());
}

TEST(SessionAuth, credential_is_as_long_as_a_frame_of_it_may_be) {
  Pair pair;
  EXPECT_EQ(pair.dialer.session.send_auth(bytes_of("early")).error(), SendError::not_ready);
  pair.run();
  EXPECT_EQ(pair.dialer.session.send_auth({}).error(), SendError::too_large);
  const std::string longest(8192, 'k');
  EXPECT_TRUE(pair.dialer.session.send_auth(bytes_of(longest)).has_value());
  EXPECT_EQ(pair.dialer.session.send_auth(bytes_of(longest + "k")).error(), SendError::too_large);
  pair.run();
  EXPECT_EQ(pair.acceptor.count(EventType::auth), 1U);
  pair.dialer.session.close(CloseCode::none);
  EXPECT_EQ(pair.dialer.session.send_auth(bytes_of("late")).error(), SendError::closed);
}

}  // namespace
}  // namespace valkyrie::protocol
