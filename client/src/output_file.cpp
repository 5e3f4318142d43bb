#include "output_file.hpp"
#include "client_error.hpp"
#include "interrupt.hpp"
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

namespace tenantmig::client {

namespace {

// Closes the file, and removes it unless it was put into its place.
class NewFile {
public:
    explicit NewFile(const std::string &beside) : beside_(beside), path_(beside + ".XXXXXX.tmp") {
        constexpr int suffix = 4; // .tmp: a collector reads only *.prom
        file_ = ::mkostemps(path_.data(), suffix, O_CLOEXEC);
        if (file_ < 0) fail("create", beside_);
    }
    ~NewFile() {
        if (file_ >= 0) ::close(file_);
        if (!in_place_) ::unlink(path_.c_str());
    }
    NewFile(const NewFile &) = delete;
    NewFile &operator=(const NewFile &) = delete;

    void write(std::string_view content) {
        while (!content.empty()) {
            const ssize_t written = ::write(file_, content.data(), content.size());
            if (written < 0 && errno == EINTR) continue;
            if (written < 0) fail("write", beside_);
            content.remove_prefix(static_cast<std::size_t>(written));
        }
        constexpr mode_t for_all_to_read = 0644; // the collector is another user
        if (::fchmod(file_, for_all_to_read) != 0 || ::fsync(file_) != 0) fail("write", beside_);
        const int closed = ::close(file_);
        file_ = -1;
        if (closed != 0) fail("write", beside_);
    }

    void put_in_place() {
        if (::rename(path_.c_str(), beside_.c_str()) != 0) fail("replace", beside_);
        in_place_ = true;
    }

private:
    [[noreturn]] static void fail(const char *what, const std::string &path) {
        throw ClientError(ExitStatus::failure,
                          fmt::format("could not {} \"{}\": {}", what, path, std::strerror(errno)));
    }

    std::string beside_, path_;
    int file_ = -1;
    bool in_place_ = false;
};

} // namespace

void replace_file(const std::string &path, std::string_view content) {
    struct stat there {};
    if (::stat(path.c_str(), &there) == 0 && !S_ISREG(there.st_mode)) // a folder, or /dev/stdout
        throw ClientError(ExitStatus::failure, fmt::format("could not write \"{}\": it is not a file", path), "",
                          "without --output, standard output is written to");
    const interrupt::Deferred deferred; // a signal does not leave a file behind
    NewFile file(path);
    file.write(content);
    file.put_in_place();
    // the new name is to survive a crash too; a folder that cannot be opened for that is no reason to fail
    const std::size_t slash = path.rfind('/');
    const std::string folder = slash == std::string::npos ? "." : slash == 0 ? "/" : path.substr(0, slash);
    if (const int handle = ::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); handle >= 0) {
        (void)::fsync(handle);
        ::close(handle);
    }
}

} // namespace tenantmig::client
