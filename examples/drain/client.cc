// Makes COUNT calls of demo.Work, four at a time, and says who answered them and how many failed.
//
//   drain-client COUNT
#include <cstdio>
#include <cstdlib>
#include <deque>
#include <map>
#include <string>

#include "valkyrie/valkyrie.h"

int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 100;
  auto client = valkyrie::Client::connect();
  if (!client) {
    std::fprintf(stderr, "error: %s\n", client.error().to_string().c_str());
    return 3;
  }
  const valkyrie::Method work = client->method("demo.Work/Do");
  std::map<std::string, int> answered;
  int failed = 0;
  std::deque<valkyrie::Call<valkyrie::Bytes>> running;
  for (int i = 0; i < count || !running.empty(); ++i) {
    if (i < count) running.push_back(work.call({}));
    if (i < count && running.size() < 4) continue;
    const auto reply = std::move(running.front()).wait();
    running.pop_front();
    if (reply) {
      const std::string name(reply->text());
      if (++answered[name] == 1) std::printf("first answer of %s\n", name.c_str());
      std::fflush(stdout);
    } else {
      ++failed;
      std::fprintf(stderr, "error: %s\n", reply.error().to_string().c_str());
    }
  }
  for (const auto& [name, calls] : answered) std::printf("%s answered %d\n", name.c_str(), calls);
  std::printf("failed %d\n", failed);
  return failed == 0 ? 0 : 1;
}
