package org.apache.kafka.coordinator.group;

import com.fasterxml.jackson.databind.JsonNode;
import org.apache.kafka.common.config.AbstractConfig;
import org.apache.kafka.coordinator.group.modern.share.ShareGroupConfig;

import java.util.Map;

/** The configuration of a history. Kafka's has one of its values in minutes, and another fixed. */
final class Config extends GroupCoordinatorConfig {
    private final JsonNode values;

    Config(JsonNode values) {
        super(new AbstractConfig(CONFIG_DEF, kafkaNames(values), false));
        this.values = values;
    }

    /** Returns the settings of single groups: none. */
    GroupConfigManager groupConfigs() {
        return new GroupConfigManager(Map.of(), this, ShareGroupConfig.fromProps(Map.of()));
    }

    private static Map<String, String> kafkaNames(JsonNode values) {
        return Map.of(
            GROUP_MAX_SIZE_CONFIG, values.get("group_max_size").asText(),
            GROUP_INITIAL_REBALANCE_DELAY_MS_CONFIG, values.get("initial_rebalance_delay_ms").asText(),
            GROUP_MIN_SESSION_TIMEOUT_MS_CONFIG, values.get("min_session_timeout_ms").asText(),
            GROUP_MAX_SESSION_TIMEOUT_MS_CONFIG, values.get("max_session_timeout_ms").asText(),
            OFFSET_METADATA_MAX_SIZE_CONFIG, values.get("offset_metadata_max_bytes").asText());
    }

    @Override
    public int classicGroupNewMemberJoinTimeoutMs() {
        return values.get("new_member_join_timeout_ms").asInt();
    }

    @Override
    public long offsetsRetentionMs() {
        return values.get("offsets_retention_ms").asLong();
    }
}
