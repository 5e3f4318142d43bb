#include "core/spec.hpp"

#include "engine/encoding.hpp"

namespace tenantmig {

std::string key_expression(const std::string &alias, const Column &column, KeyClass key_class) {
    std::string name = alias + "." + quoted(column.name);
    if (key_class != KeyClass::as_text) return name;
    if (column.type == NUMERICOID) return fmt::format("(pg_catalog.trim_scale({})::pg_catalog.text)", name);
    return fmt::format("({}::pg_catalog.text)", name);
}

KeyClass own_class(const Column &column) {
    Table unnamed;
    return comparison_class(column, unnamed, column, unnamed, "key");
}

void KeyEncoder::append(TupleTableSlot *slot, int column, KeyClass key_class) {
    Datum value = slot->tts_values[column];
    switch (key_class) {
    case KeyClass::integer: {
        // by length, not by type: a domain over an integer has a type of its own
        int length = TupleDescAttr(slot->tts_tupleDescriptor, column)->attlen;
        std::int64_t number = length == 8   ? DatumGetInt64(value)
                              : length == 4 ? DatumGetInt32(value)
                                            : DatumGetInt16(value);
        buffer_.append(reinterpret_cast<const char *>(&number), sizeof number);
        break;
    }
    case KeyClass::uuid:
        buffer_.append(reinterpret_cast<const char *>(DatumGetUUIDP(value)->data), UUID_LEN);
        break;
    case KeyClass::text:
    case KeyClass::as_text: {
        auto *text = reinterpret_cast<struct varlena *>(DatumGetPointer(value));
        bool copied = VARATT_IS_COMPRESSED(text) || VARATT_IS_EXTERNAL(text);
        if (copied) text = pg_call([text] { return pg_detoast_datum_packed(text); });
        auto size = static_cast<std::uint32_t>(VARSIZE_ANY_EXHDR(text));
        if (classes_.size() > 1) buffer_.append(reinterpret_cast<const char *>(&size), sizeof size);
        buffer_.append(VARDATA_ANY(text), size);
        if (copied) pfree(text);
        break;
    }
    }
}

bool KeyEncoder::encode(TupleTableSlot *slot, std::string_view *key) {
    buffer_.clear();
    for (std::size_t i = 0; i < classes_.size(); i++) {
        int column = first_ + static_cast<int>(i);
        if (slot->tts_isnull[column]) return false;
        append(slot, column, classes_[i]);
    }
    *key = buffer_;
    return true;
}

core::TenantNo TenantDictionary::number_of_integer(std::int64_t integer) {
    auto [place, added] = integers_.try_emplace(integer, static_cast<core::TenantNo>(texts_.size()));
    if (added) texts_.push_back(std::to_string(integer));
    return place->second;
}

core::TenantNo TenantDictionary::number(std::string_view encoded) {
    auto fresh = static_cast<core::TenantNo>(texts_.size());
    if (class_ == KeyClass::integer) {
        std::int64_t value;
        std::memcpy(&value, encoded.data(), sizeof value);
        return number(value);
    }
    auto [place, added] = numbers_.try_emplace(std::string(encoded), fresh);
    if (added) {
        if (class_ == KeyClass::uuid) {
            std::string text;
            for (std::size_t i = 0; i < encoded.size(); i++)
                text += fmt::format("{}{:02x}", i == 4 || i == 6 || i == 8 || i == 10 ? "-" : "",
                                    static_cast<unsigned char>(encoded[i]));
            texts_.push_back(std::move(text));
        } else {
            texts_.emplace_back(encoded);
        }
    }
    return place->second;
}

core::TenantNo TenantDictionary::number_of_text(const std::string &text) {
    if (class_ == KeyClass::text) return number(text);
    Datum value = datum_from_text(class_ == KeyClass::integer ? INT8OID : UUIDOID, -1, text);
    if (class_ == KeyClass::uuid) return number({reinterpret_cast<const char *>(DatumGetUUIDP(value)->data), UUID_LEN});
    std::int64_t integer = DatumGetInt64(value);
    return number({reinterpret_cast<const char *>(&integer), sizeof integer});
}

void TenantDictionary::adopt(const core::SharedEvidence &shared) {
    for (core::TenantNo i = 0; i < shared.tenants(); i++)
        if (number_of_text(std::string(shared.tenant(i))) != i)
            throw Error(sqlstate::internal, "a tenant has another number in another process");
    known_ = shared.known();
    known_.resize(texts_.size(), false);
}

bool TenantDictionary::before(core::TenantNo a, core::TenantNo b) const {
    if (class_ == KeyClass::integer) return std::stoll(texts_[a]) < std::stoll(texts_[b]);
    return texts_[a] < texts_[b];
}

void TenantDictionary::check_known(const StepTarget &target) {
    constexpr std::size_t portion = 10000;
    std::size_t from = known_.size();
    known_.resize(texts_.size(), false);
    RunAs owner(target.root.owner, Purpose::read);
    const Column &key = target.root_key;
    // compared as text of the key: the types are of one class, but an integer may not fit into a smaller type
    std::string type = class_ == KeyClass::integer ? "pg_catalog.int8"
                       : class_ == KeyClass::uuid  ? "pg_catalog.uuid"
                                                   : "pg_catalog.text";
    std::string sql =
        fmt::format("SELECT u.position FROM pg_catalog.unnest($1::{0}[]) WITH ORDINALITY AS u(tenant, position) "
                    "WHERE EXISTS (SELECT FROM {1} AS r WHERE r.{2} OPERATOR(pg_catalog.=) u.tenant)",
                    type, target.root.target(), quoted(key.name));
    for (; from < texts_.size(); from += portion) {
        std::size_t count = std::min(portion, texts_.size() - from);
        Value tenants = text_array_value(std::span<const std::string>(texts_.data() + from, count));
        std::array<Value, 1> values = {tenants};
        stream_query(sql, values, [&](TupleTableSlot *slot) {
            pg_call([slot] { slot_getallattrs(slot); });
            known_[from + static_cast<std::size_t>(DatumGetInt64(slot->tts_values[0])) - 1] = true;
            return true;
        });
    }
}

} // namespace tenantmig
