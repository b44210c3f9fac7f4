package org.apache.kafka.coordinator.group;

import java.lang.reflect.Field;

/** Reads private fields of Kafka's classes that have no accessor. */
final class Fields {
    private Fields() { }

    @SuppressWarnings("unchecked")
    static <T> T read(Object object, String name) {
        try {
            Field field = object.getClass().getDeclaredField(name);
            field.setAccessible(true);
            return (T) field.get(object);
        } catch (ReflectiveOperationException e) {
            throw new IllegalStateException(object.getClass() + " has no field " + name, e);
        }
    }
}
