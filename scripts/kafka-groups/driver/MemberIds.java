package org.apache.kafka.coordinator.group;

import java.nio.ByteBuffer;
import java.security.Provider;
import java.security.SecureRandomSpi;
import java.security.Security;
import java.util.Random;
import java.util.UUID;

/** The random bits of the member ids that the coordinator makes. A history names them, because their hashes decide who leads. */
public final class MemberIds extends SecureRandomSpi {
    private static final int UUID_BYTES = 16;
    private static final Random OTHERS = new Random();
    private static byte[] next;

    /** Makes this the source of {@link UUID#randomUUID}. Called before anything else draws a UUID. */
    static void install() {
        Provider provider = new Provider("histories", "1", "random bits named by a history") { };
        provider.put("SecureRandom.histories", MemberIds.class.getName());
        Security.insertProviderAt(provider, 1);
        UUID probe = new UUID(0x0123456789ab4defL, 0x8123456789abcdefL);
        expect(probe);
        if (!UUID.randomUUID().equals(probe)) throw new IllegalStateException("random UUIDs do not come from this class");
    }

    /** Sets the next UUID. */
    static void expect(UUID uuid) {
        next = ByteBuffer.allocate(UUID_BYTES).putLong(uuid.getMostSignificantBits()).putLong(uuid.getLeastSignificantBits()).array();
    }

    @Override
    protected void engineNextBytes(byte[] bytes) {
        if (bytes.length != UUID_BYTES) {
            // Names of temporary files.
            OTHERS.nextBytes(bytes);
            return;
        }
        if (next == null) throw new IllegalStateException("the history names no random bits for this step");
        System.arraycopy(next, 0, bytes, 0, bytes.length);
        next = null;
    }

    /** Takes back a UUID that nobody drew. */
    static void expectNone() {
        next = null;
    }

    @Override
    protected void engineSetSeed(byte[] seed) { }

    @Override
    protected byte[] engineGenerateSeed(int length) {
        return new byte[length];
    }
}
