#include "protocol/messages/bans.h"

#include "protocol/messages/archive.h"

namespace valkyrie::messages {

template <class A>
void describe(A&, Ref<A, ListBansRequest>) {}

template <class A>
void describe(A& a, Ref<A, BanView> m) {
  a.text(1, m.peer, kBanPeerBytesMax);
  a.number(2, m.count);
  a.number(3, m.left_ns);
}

template <class A>
void describe(A& a, Ref<A, ListBansReply> m) {
  a.messages(1, m.bans, kListedBansMax);
}

template <class A>
void describe(A& a, Ref<A, LiftBanRequest> m) {
  a.text(1, m.peer, kBanPeerBytesMax);
}

std::string encode(const ListBansRequest& request) { return encode_described(request); }
std::string encode(const ListBansReply& reply) { return encode_described(reply); }
std::string encode(const LiftBanRequest& request) { return encode_described(request); }

#define VALKYRIE_DECODE(T)                                                    \
  template <>                                                                 \
  std::expected<T, DecodeError> decode<T>(std::span<const std::byte> bytes) { \
    return decode_described<T>(bytes);                                        \
  }
VALKYRIE_DECODE(ListBansRequest)
VALKYRIE_DECODE(ListBansReply)
VALKYRIE_DECODE(LiftBanRequest)
#undef VALKYRIE_DECODE

}  // namespace valkyrie::messages
