// Reading JSON documents of our own tables: what is missing, or of another type because somebody has changed it, is
// passed over.
#pragma once
#include <nlohmann/json.hpp>
#include <string>

namespace tenantmig {

inline nlohmann::json json_object(const std::string &text) {
    nlohmann::json object = nlohmann::json::parse(text, nullptr, false);
    return object.is_object() ? object : nlohmann::json::object();
}

inline nlohmann::json object_at(const nlohmann::json &object, const std::string &name) {
    auto found = object.find(name);
    return found != object.end() && found->is_object() ? *found : nlohmann::json::object();
}

inline double number_at(const nlohmann::json &object, const std::string &name, double otherwise = 0) {
    auto found = object.find(name);
    return found != object.end() && found->is_number() ? found->get<double>() : otherwise;
}

inline std::string text_at(const nlohmann::json &object, const std::string &name) {
    auto found = object.find(name);
    return found != object.end() && found->is_string() ? found->get<std::string>() : std::string();
}

} // namespace tenantmig
