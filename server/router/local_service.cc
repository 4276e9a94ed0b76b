#include "server/router/local_service.h"

namespace valkyrie::router {

void LocalService::on_request(LocalCall call, const LocalRequest& /*request*/,
                              protocol::Instant /*now*/) {
  call.fail(protocol::StatusCode::unimplemented, "not a unary method",
            protocol::Outcome::not_executed);
}

void LocalService::on_cancel(LocalCall /*call*/, protocol::Instant /*now*/) {}

void LocalService::on_stream(LocalStream stream, const LocalOpen& /*open*/,
                             protocol::Instant /*now*/) {
  stream.reset(protocol::CloseCode::feature, "not a stream method");
}

void LocalService::on_message(LocalStream stream, const LocalMessage& message,
                              protocol::Instant /*now*/) {
  stream.consume(message.cost);
}

void LocalService::on_writable(LocalStream /*stream*/, protocol::Instant /*now*/) {}
void LocalService::on_end(LocalStream stream, protocol::Instant /*now*/) { stream.end(); }
void LocalService::on_closed(LocalStream /*stream*/, protocol::CloseCode /*code*/,
                             protocol::Instant /*now*/) {}
void LocalService::on_drain(protocol::Duration /*grace*/, protocol::Instant /*now*/) {}
std::optional<protocol::Instant> LocalService::deadline() const { return std::nullopt; }
void LocalService::on_deadline(protocol::Instant /*now*/) {}

}  // namespace valkyrie::router
