#include <string_view>

#include "enter.h"
#include "failure.h"
#include "probe.h"
#include "run.h"

namespace {

constexpr char kUsage[] =
    "use: a3s-box-launcher run CONFIG | run --config-fd N | probe | enter KEY=VALUE... -- PROGRAM NAME ARGUMENT...";

}  // namespace

int main(int argc, char** argv) {
  const std::string_view verb = argc > 1 ? argv[1] : "";
  if (verb == "probe" && argc == 2) return a3s::Probe();
  if (verb == "run" && argc == 3) a3s::RunFromFile(argv[2]);
  if (verb == "run" && argc == 4 && std::string_view(argv[2]) == "--config-fd") a3s::RunFromDescriptor(argv[3]);
  if (verb == "enter") a3s::Enter({argv + 2, argv + argc});
  a3s::Die(a3s::ExitCode::kUsage, "arguments", kUsage);
}
